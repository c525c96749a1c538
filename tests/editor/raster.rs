//! Draws egui's triangles into a picture, in software, so that the editor can be looked at without a window.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use egui::epaint::{ImageDelta, Primitive};
use egui::{ClippedPrimitive, Color32, ImageData, TextureId, TexturesDelta};

/// A picture of premultiplied colours, row by row.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<[f32; 4]>,
}

/// The textures egui has handed over so far.
#[derive(Default)]
pub struct Textures(HashMap<TextureId, (usize, usize, Vec<Color32>)>);

impl Textures {
    pub fn apply(&mut self, delta: &TexturesDelta) {
        let deltas = delta.set.iter().flat_map(|(id, deltas)| deltas.iter().map(move |delta| (id, delta)));
        for (id, ImageDelta { image: ImageData::Color(image), pos, .. }) in deltas {
            let [width, height] = image.size;
            match pos {
                None => {
                    self.0.insert(*id, (width, height, image.pixels.clone()));
                }
                Some([left, top]) => {
                    let (whole, _, pixels) = self.0.get_mut(id).expect("a part of a known texture");
                    for row in 0..height {
                        let to = (top + row) * *whole + left;
                        pixels[to..to + width].copy_from_slice(&image.pixels[row * width..(row + 1) * width]);
                    }
                }
            }
        }
        for id in &delta.free {
            self.0.remove(id);
        }
    }

    /// Bilinear, clamped, as a GPU would.
    fn sample(&self, id: TextureId, u: f32, v: f32) -> [f32; 4] {
        let Some((width, height, pixels)) = self.0.get(&id) else { return [1.0; 4] };
        let (x, y) = (u * *width as f32 - 0.5, v * *height as f32 - 0.5);
        let (x0, y0) = (x.floor(), y.floor());
        let at = |x: f32, y: f32| {
            let x = (x.max(0.0) as usize).min(width - 1);
            let y = (y.max(0.0) as usize).min(height - 1);
            pixels[y * width + x].to_array().map(|channel| f32::from(channel) / 255.0)
        };
        let (a, b, c, d) = (at(x0, y0), at(x0 + 1.0, y0), at(x0, y0 + 1.0), at(x0 + 1.0, y0 + 1.0));
        let (fx, fy) = (x - x0, y - y0);
        std::array::from_fn(|i| (a[i] * (1.0 - fx) + b[i] * fx) * (1.0 - fy) + (c[i] * (1.0 - fx) + d[i] * fx) * fy)
    }
}

impl Picture {
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0.0, 0.0, 0.0, 1.0]; width * height] }
    }

    pub fn draw(&mut self, primitives: &[ClippedPrimitive], textures: &Textures, scale: f32) {
        for ClippedPrimitive { clip_rect, primitive } in primitives {
            let Primitive::Mesh(mesh) = primitive else { continue };
            let bound = |value: f32, most: usize| (value * scale).round().clamp(0.0, most as f32) as usize;
            let (left, right) = (bound(clip_rect.left(), self.width), bound(clip_rect.right(), self.width));
            let (top, bottom) = (bound(clip_rect.top(), self.height), bound(clip_rect.bottom(), self.height));
            for corner in mesh.indices.chunks_exact(3) {
                let [a, b, c] = [0, 1, 2].map(|i| mesh.vertices[corner[i] as usize]);
                let [pa, pb, pc] = [a, b, c].map(|vertex| vertex.pos * scale);
                let area = (pb - pa).x * (pc - pa).y - (pb - pa).y * (pc - pa).x;
                if area == 0.0 {
                    continue;
                }
                let lowest = |x: f32, y: f32, z: f32| x.min(y).min(z).floor().max(0.0) as usize;
                let highest = |x: f32, y: f32, z: f32| x.max(y).max(z).ceil().max(0.0) as usize;
                for y in lowest(pa.y, pb.y, pc.y).max(top)..highest(pa.y, pb.y, pc.y).min(bottom) {
                    for x in lowest(pa.x, pb.x, pc.x).max(left)..highest(pa.x, pb.x, pc.x).min(right) {
                        let p = egui::pos2(x as f32 + 0.5, y as f32 + 0.5);
                        let cross =
                            |q: egui::Pos2, r: egui::Pos2| ((r - q).x * (p - q).y - (r - q).y * (p - q).x) / area;
                        let (wc, wa, wb) = (cross(pa, pb), cross(pb, pc), cross(pc, pa));
                        // Edges count for one side only, so that neighbours do not draw a pixel twice.
                        if wa < 0.0 || wb < 0.0 || wc < 0.0 || (wa == 0.0 && area < 0.0) {
                            continue;
                        }
                        let mix = |of: fn(&egui::epaint::Vertex) -> [f32; 4]| -> [f32; 4] {
                            let (a, b, c) = (of(&a), of(&b), of(&c));
                            std::array::from_fn(|i| a[i] * wa + b[i] * wb + c[i] * wc)
                        };
                        let tint = mix(|vertex| vertex.color.to_array().map(|channel| f32::from(channel) / 255.0));
                        let uv = mix(|vertex| [vertex.uv.x, vertex.uv.y, 0.0, 0.0]);
                        let texel = textures.sample(mesh.texture_id, uv[0], uv[1]);
                        let under = &mut self.pixels[y * self.width + x];
                        let over: [f32; 4] = std::array::from_fn(|i| tint[i] * texel[i]);
                        *under = std::array::from_fn(|i| over[i] + under[i] * (1.0 - over[3]));
                    }
                }
            }
        }
    }

    /// The picture in 8 bits: red, green and blue of each pixel, row by row.
    pub fn to_rgb(&self) -> Vec<u8> {
        let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        self.pixels.iter().flat_map(|pixel| [0, 1, 2].map(|i| byte(pixel[i]))).collect()
    }

    /// Writes the picture as a portable pixmap.
    pub fn save(&self, path: &Path) -> std::io::Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        writeln!(file, "P6 {} {} 255", self.width, self.height)?;
        file.write_all(&self.to_rgb())?;
        file.flush()
    }
}
