//! What the init inside a sandbox tells its keeper, over a socket pair that it inherited. The kernel puts the
//! sender's pid on each word, as the keeper sees it: that is how a pid inside a namespace is learnt outside.
//!
//! The gateway never has this socket: it is closed by the exec that makes the gateway.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
};

/// The variable that tells init the number of its socket.
pub(crate) const WORDS_FD: &str = "CREEL_KEEPER_FD";

/// The variable that tells init the number of the claim's descriptor.
pub(crate) const CLAIM_FD: &str = "CREEL_CLAIM_FD";

/// The longest word, in bytes.
const WORD_MAX: usize = 1024;

/// The longest reason, in characters of up to four bytes.
const REASON_MAX: usize = 250;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Init lives; the sender is init.
    Began,
    /// The next thing is exec; the sender is the gateway's main process.
    Executing,
    /// The gateway's program could not be executed.
    Missing(String),
    /// The gateway exited.
    Code(i32),
    /// A signal ended the gateway.
    Signal(i32),
}

impl Word {
    /// As it goes over the socket.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Self::Began => "began".to_owned(),
            Self::Executing => "executing".to_owned(),
            Self::Missing(why) => format!("missing {}", why.chars().take(REASON_MAX).collect::<String>()),
            Self::Code(code) => format!("code {code}"),
            Self::Signal(signal) => format!("signal {signal}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb {
            "began" => Some(Self::Began),
            "executing" => Some(Self::Executing),
            "missing" => Some(Self::Missing(rest.to_owned())),
            "code" => rest.parse().ok().map(Self::Code),
            "signal" => rest.parse().ok().map(Self::Signal),
            _ => None,
        }
    }
}

/// Keeper's end and init's end.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::sockopt::set_socket_passcred(&ours, true)?;
    Ok((ours, theirs))
}

/// Says it; a keeper that is gone is not an error, because the sandbox dies with it anyway.
pub(crate) fn say(socket: &OwnedFd, word: &Word) {
    let _ = rustix::net::send(socket, word.to_text().as_bytes(), SendFlags::NOSIGNAL);
}

/// What a look at the socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A word, and who said it.
    Word(Word, i32),
    /// Nothing yet.
    Nothing,
    /// Nothing ever again: everybody who could speak is gone.
    Ended,
}

/// Takes the next word, without waiting for one. What is not a word is passed over.
pub(crate) fn hear(socket: &OwnedFd) -> Heard {
    let mut bytes = [0; WORD_MAX];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        match rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
            Err(rustix::io::Errno::AGAIN) => return Heard::Nothing,
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return Heard::Ended,
            Ok(heard) if heard.bytes == 0 => return Heard::Ended,
            Ok(heard) => {
                let word = std::str::from_utf8(&bytes[..heard.bytes]).ok().and_then(Word::parse);
                if let (Some(word), Some(sender)) = (word, sender_of(&mut control)) {
                    return Heard::Word(word, sender);
                }
            }
        }
    }
}

fn sender_of(control: &mut RecvAncillaryBuffer<'_>) -> Option<i32> {
    control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_pid()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_arrives_as_it_was_said_and_names_its_sender() {
        let (ours, theirs) = pair().unwrap();
        let words = [
            Word::Began,
            Word::Executing,
            Word::Missing("no such file".into()),
            Word::Code(7),
            Word::Signal(9),
        ];
        words.iter().for_each(|word| say(&theirs, word));
        for word in words {
            assert_eq!(hear(&ours), Heard::Word(word, crate::process::own_pid()));
        }
        assert_eq!(hear(&ours), Heard::Nothing);
        drop(theirs);
        assert_eq!(hear(&ours), Heard::Ended);
    }
}
