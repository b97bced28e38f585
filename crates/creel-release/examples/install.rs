//! Installs one release by hand: `cargo run -p creel-release --example install -- ROOT VERSION`.

use std::path::PathBuf;
use std::time::Instant;

use creel_release::{Options, Progress, install};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(root), Some(version)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: install ROOT VERSION".into());
    };
    let (begin, mut step) = (Instant::now(), String::new());
    let mut tell = |progress: Progress| {
        if progress.step != step {
            println!("{:7.2} s {:4} {}", begin.elapsed().as_secs_f32(), progress.permille, progress.step);
            step = progress.step;
        }
    };
    let installed = install(&root, &version, &Options::from_env(), &mut tell).await?;
    println!("{installed:#?}");
    Ok(())
}
