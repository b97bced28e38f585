//! The switch of the practice model: it runs on a data folder exactly when a file there names its port. The port stays
//! the same, because it stands in the configs of agents.

use std::fs;
use std::net::TcpListener;

use serde_json::{Value, json};

use crate::data::Data;
use crate::failure::{Failure, While};

/// Switches the practice model on, on a port that is free now.
pub(super) fn switch_on(data: &Data) -> Result<(), Failure> {
    let file = data.practice_file();
    if file.exists() {
        return port(data).map(drop);
    }
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let port = free.during("could not find a free port for the practice model")?.port();
    let beside = file.with_extension("json.new");
    let written = fs::write(&beside, json!({ "port": port }).to_string());
    written.and_then(|()| fs::rename(&beside, &file)).during(format!("could not write {}", file.display()))
}

/// Whether it is switched on.
pub(super) fn is_on(data: &Data) -> bool {
    data.practice_file().exists()
}

/// Its port.
pub(crate) fn port(data: &Data) -> Result<u16, Failure> {
    let file = data.practice_file();
    let text = fs::read(&file).during(format!("could not read {}", file.display()))?;
    let value: Value = serde_json::from_slice(&text).unwrap_or_default();
    let port = value["port"].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.ok_or_else(|| {
        Failure::refused(format!("{} names no port", file.display()))
            .cure("remove it and run `creel up --practice-model` again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_practice_model_keeps_its_port() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data(folder.path().into());
        assert!(!is_on(&data));
        switch_on(&data).unwrap();
        let first = port(&data).unwrap();
        switch_on(&data).unwrap();
        assert_eq!(port(&data).unwrap(), first);
        fs::write(data.practice_file(), "{}").unwrap();
        assert!(switch_on(&data).unwrap_err().text().contains("names no port"));
    }
}
