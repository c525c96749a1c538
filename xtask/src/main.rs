//! Project tasks: `cargo xtask <command>`.

fn main() -> anyhow::Result<()> {
    anyhow::bail!("no command given")
}
