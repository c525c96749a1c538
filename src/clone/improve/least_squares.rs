//! Normal equations of least squares: a symmetric matrix, and as many right sides as one likes. Knows nothing of what the
//! numbers mean.

/// Solves `matrix * x = sides` by Cholesky's decomposition and two substitutions, in place.
///
/// `matrix` is `[size, size]`, of which the lower half is read and used up; `sides` is `[size, columns]` and becomes the
/// solution. `false` when the matrix is not positive definite: the sums leave the solution open.
pub(super) fn solve(matrix: &mut [f64], sides: &mut [f64], size: usize) -> bool {
    let at = |row: usize, column: usize| row * size + column;
    for row in 0..size {
        for column in 0..=row {
            let known: f64 = (0..column).map(|n| matrix[at(row, n)] * matrix[at(column, n)]).sum();
            let rest = matrix[at(row, column)] - known;
            matrix[at(row, column)] = match row == column {
                true if rest > 0.0 => rest.sqrt(),
                true => return false,
                false => rest / matrix[at(column, column)],
            };
        }
    }
    let columns = sides.len() / size.max(1);
    let mut x = vec![0.0; size];
    for column in 0..columns {
        for row in 0..size {
            let known: f64 = (0..row).map(|n| matrix[at(row, n)] * x[n]).sum();
            x[row] = (sides[row * columns + column] - known) / matrix[at(row, row)];
        }
        for row in (0..size).rev() {
            let known: f64 = (row + 1..size).map(|n| matrix[at(n, row)] * x[n]).sum();
            x[row] = (x[row] - known) / matrix[at(row, row)];
        }
        x.iter().enumerate().for_each(|(row, value)| sides[row * columns + column] = *value);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved_and_an_open_one_refused() {
        // The upper half is not looked at.
        let matrix = [4.0, 9.0, 9.0, 2.0, 5.0, 9.0, 1.0, 3.0, 6.0];
        let mut sides = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        assert!(solve(&mut matrix.clone(), &mut sides, 3));
        let full = [[4.0, 2.0, 1.0], [2.0, 5.0, 3.0], [1.0, 3.0, 6.0]];
        for (row, wanted) in full.iter().zip([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]) {
            for (column, wanted) in wanted.into_iter().enumerate() {
                let found: f64 = (0..3).map(|n| row[n] * sides[2 * n + column]).sum();
                assert!((found - wanted).abs() < 1e-12, "{found} instead of {wanted}");
            }
        }
        assert!(!solve(&mut [1.0, 0.0, 1.0, 1.0], &mut [1.0, 1.0], 2));
        assert!(!solve(&mut [f64::NAN], &mut [1.0], 1));
    }
}
