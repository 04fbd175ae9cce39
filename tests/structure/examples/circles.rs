//! Prints the circles of files in each crate, with what makes them, and the names that several types share.
//!
//! `cargo run -p dlock-structure --example circles`

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let mut crates = Vec::new();
    for name in ["dlock-core", "dlock-tower", "dlock-macros"] {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name).join("src");
        let read = dlock_structure::Crate::read(&sources)?;
        let uses = dlock_structure::uses(&read);
        println!("{name}: {} files", read.files().len());
        for circle in dlock_structure::circles(&uses) {
            println!("  circle of {}", circle.join(", "));
            let is_of_it = |file: &String| circle.contains(&file.as_str());
            for it in uses.iter().filter(|it| is_of_it(&it.from) && is_of_it(&it.to)) {
                println!("    {} -> {}: {}", it.from, it.to, it.item);
            }
        }
        crates.push(read);
    }
    let names = dlock_structure::shared_names(&crates);
    println!("{:.1} % of {} types share their name:", names.percent(), names.types);
    for (name, files) in names.shared {
        println!("  {name}: {}", files.join(", "));
    }
    Ok(())
}
