//! Measures the promises: `creel-bench [recovery] [create] [notice] [footprint] [idle]`, everything if nothing is named. Each
//! prints rows for docs/benchmarks.md. What can be a ratio is measured against the bare gateway in the same run, in
//! turns, because machines are shared and noisy.

mod bare;
mod footprint;
mod http;
mod notice;
mod numbers;
mod recovery;
mod stage;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let named: Vec<String> = std::env::args().skip(1).collect();
    let all = ["recovery", "create", "notice", "footprint", "idle"];
    if let Some(unknown) = named.iter().find(|name| !all.contains(&name.as_str())) {
        bail!("there is no benchmark `{unknown}`; there are {}", all.join(", "));
    }
    let chosen = all.iter().filter(|name| named.is_empty() || named.iter().any(|wanted| wanted == *name));
    println!("| what | runs | result | promise |\n|---|---|---|---|");
    for name in chosen {
        match *name {
            "recovery" => recovery::measure()?,
            "create" => recovery::create()?,
            "notice" => notice::measure()?,
            "footprint" => footprint::measure()?,
            _ => footprint::idle()?,
        }
    }
    Ok(())
}
