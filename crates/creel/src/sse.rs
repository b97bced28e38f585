//! Server-sent events from bytes as they come, cut wherever the network cut them.

/// The most that one event may have; a server that sends more is not creel's.
const EVENT_BYTES_MOST: usize = 1 << 20;

/// Reads events out of bytes.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Bytes of a line that is not complete.
    rest: Vec<u8>,
    /// The `data` lines of an event that is not complete.
    data: String,
}

/// An event was larger than any that creel sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {EVENT_BYTES_MOST} bytes")]
pub(crate) struct TooLarge;

impl Events {
    /// The data of each event that these bytes complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, TooLarge> {
        self.rest.extend_from_slice(bytes);
        let mut complete = Vec::new();
        let mut start = 0;
        while let Some(length) = self.rest[start..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[start..start + length]).into_owned();
            complete.extend(self.line(line.trim_end_matches('\r')));
            start += length + 1;
        }
        self.rest.drain(..start);
        let held = self.rest.len() + self.data.len();
        if held > EVENT_BYTES_MOST { Err(TooLarge) } else { Ok(complete) }
    }

    fn line(&mut self, line: &str) -> Option<String> {
        if line.is_empty() {
            return Some(std::mem::take(&mut self.data)).filter(|data| !data.is_empty());
        }
        if let Some(data) = line.strip_prefix("data:") {
            if !self.data.is_empty() {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_were_cut() {
        let bytes =
            "event: delta\r\ndata: {\"text\":\"hä\"}\r\n\r\n: a comment\n\ndata:a\ndata: b\n\n".as_bytes();
        for cut in 1..bytes.len() {
            let mut events = Events::default();
            let mut found = events.push(&bytes[..cut]).unwrap();
            found.extend(events.push(&bytes[cut..]).unwrap());
            assert_eq!(found, ["{\"text\":\"hä\"}", "a\nb"], "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut events = Events::default();
        assert_eq!(events.push(&vec![b'x'; EVENT_BYTES_MOST + 1]), Err(TooLarge));
    }
}
