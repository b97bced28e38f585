//! A line in the message itself that tells the model how to behave: for showing things by hand. Only the newest
//! message counts, and it counts once: when the gateway takes up a turn that was cut off, it is answered plainly.

/// A line `practice: …` in a message.
///
/// | written | meaning |
/// |---|---|
/// | `practice: slow 200` | answer with 200 ms before each word |
/// | `practice: fail 500` | fail with this HTTP status (400 to 599) |
/// | `practice: refuse` | close the connection without an answer |
/// | `practice: hang` | never answer |
/// | `practice: run uname -a` | have the agent's shell tool run this, then say what it gave back |
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Wait so many milliseconds before each word.
    Slow(u64),
    /// Fail with this HTTP status.
    Fail(u16),
    /// Close the connection without an answer.
    Refuse,
    /// Never answer.
    Hang,
    /// Call the agent's shell tool with this command.
    Run(String),
    /// This was written, and it means nothing.
    Unknown(String),
}

/// The first word of a directive.
const MARK: &str = "practice:";

impl Directive {
    /// The first directive in what was said.
    pub(crate) fn find(said: &str) -> Option<Self> {
        said.lines().find_map(|line| {
            let line = line.trim_start();
            let mark = line.get(..MARK.len())?;
            mark.eq_ignore_ascii_case(MARK).then(|| Self::read(line[MARK.len()..].trim()))
        })
    }

    fn read(text: &str) -> Self {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        let read = match word.to_ascii_lowercase().as_str() {
            "slow" => rest.parse().ok().map(Self::Slow),
            "fail" => rest.parse().ok().filter(|status| is_failure(*status)).map(Self::Fail),
            "refuse" if rest.is_empty() => Some(Self::Refuse),
            "hang" if rest.is_empty() => Some(Self::Hang),
            "run" if !rest.is_empty() => Some(Self::Run(rest.to_owned())),
            _ => None,
        };
        read.unwrap_or_else(|| Self::Unknown(text.to_owned()))
    }
}

/// Whether an HTTP status tells of a failure.
pub(crate) fn is_failure(status: u16) -> bool {
    (400..=599).contains(&status)
}

#[cfg(test)]
mod tests {
    use super::Directive;

    #[test]
    fn a_directive_is_a_line_of_its_own() {
        let read = |text| Directive::find(text);
        assert_eq!(read("please\npractice: slow 200\nthanks"), Some(Directive::Slow(200)));
        assert_eq!(read("Practice: fail 429"), Some(Directive::Fail(429)));
        assert_eq!(read("practice:hang"), Some(Directive::Hang));
        assert_eq!(read("practice: refuse"), Some(Directive::Refuse));
        assert_eq!(read("practice: run echo  a b"), Some(Directive::Run("echo  a b".into())));
        assert_eq!(read("the practice: hang"), None);
        assert_eq!(read("ß practice"), None);
    }

    #[test]
    fn what_means_nothing_is_named() {
        for text in ["dance", "fail 200", "fail x", "slow", "run", ""] {
            let read = Directive::find(&format!("practice: {text}"));
            assert_eq!(read, Some(Directive::Unknown(text.into())));
        }
    }
}
