//! Lines of JSON in and out of a socket that never blocks, with a limit on what a line may have.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use serde::Serialize;

/// The longest line that is read: a start with its whole environment fits many times.
const LINE_MAX: usize = 1 << 20;

/// How much is read at once; small, because a keeper lives in few pages.
const READ_AT_ONCE: usize = 4096;

/// A connection and what of it is not whole yet.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) stream: UnixStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// Takes the stream over and makes it non-blocking.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, inbox: Vec::new(), outbox: Vec::new(), ended: false })
    }

    /// Whether the other side is gone, or was cut off because it does not keep to the protocol.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Whether something waits to be written.
    pub(crate) fn is_owing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// The next whole line, if one has arrived. While an answer is still unread nothing more is heard: the asker
    /// gets no further ahead than one line.
    pub(crate) fn next_line(&mut self) -> Option<Vec<u8>> {
        if self.ended || self.is_owing() {
            return None;
        }
        loop {
            if let Some(end) = self.inbox.iter().position(|byte| *byte == b'\n') {
                let rest = self.inbox.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.inbox, rest);
                line.pop();
                return Some(line);
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// Puts a line in the queue and writes what goes.
    pub(crate) fn send<T: Serialize>(&mut self, message: &T) {
        let written = serde_json::to_writer(&mut self.outbox, message);
        self.outbox.push(b'\n');
        self.ended |= written.is_err();
        self.flush();
    }

    /// Writes what goes.
    pub(crate) fn flush(&mut self) {
        while !self.outbox.is_empty() && !self.ended {
            match self.stream.write(&self.outbox) {
                Ok(0) => self.ended = true,
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.ended = error.kind() != io::ErrorKind::Interrupted,
            }
        }
        self.outbox.shrink_to(READ_AT_ONCE);
    }

    fn read_more(&mut self) -> bool {
        let mut bytes = [0; READ_AT_ONCE];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.inbox.extend_from_slice(&bytes[..count]);
                self.ended = count == 0 || self.inbox.len() > LINE_MAX;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) => {
                self.ended = error.kind() != io::ErrorKind::WouldBlock;
                return false;
            }
        }
        !self.ended
    }
}
