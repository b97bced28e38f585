//! What a person said, out of what the gateway made of it. OpenClaw wraps a message into the time, facts about its
//! run, notes of its own and context blocks, differently from release to release; here all of that is taken off. What
//! is not known as a wrapping is taken for the person's own words, so that nothing said is ever lost.

use crate::wire::Message;

/// A context block that the gateway adds on its own.
const INTERNAL: (&str, &str) =
    ("<<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>>", "<<<END_OPENCLAW_INTERNAL_CONTEXT>>>");

/// What stands around a message from a webhook or a mail.
const EXTERNAL: (&str, &str) = ("<<<EXTERNAL_UNTRUSTED_CONTENT", "<<<END_EXTERNAL_UNTRUSTED_CONTENT");

/// What stands before the newest of several messages that came in one request.
const CURRENT: &str = "[Current message - respond to this]\n";

/// What the gateway tells after its own restart.
const INTERRUPTED: &str = "[System] Your previous turn was interrupted";

/// The sentence of a heartbeat prompt that says how to answer when there is nothing to do.
const NOTHING_TO_DO: &str = "If nothing needs attention, reply ";

/// What a message with the role `user` really is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Somebody said this.
    Words {
        /// Without its wrappings; not empty.
        text: String,
        /// Whether the gateway's note of an interrupted turn came with it.
        interrupted: bool,
    },
    /// Only the note that the turn before was interrupted.
    Interruption,
    /// The gateway asks by itself whether there is something to do; to be answered with this word if not.
    Heartbeat(String),
    /// Nothing but context.
    Context,
}

/// What this message with the role `user` really is.
pub(crate) fn open(message: &Message) -> Heard {
    let whole = message.texts().join("\n\n");
    if let Some(word) = heartbeat(&whole) {
        return Heard::Heartbeat(word);
    }
    let text =
        external(&without_blocks(&whole, INTERNAL)).unwrap_or_else(|| without_blocks(&whole, INTERNAL));
    let text = own_words(&text);
    match (text.is_empty(), whole.contains(INTERRUPTED)) {
        (true, true) => Heard::Interruption,
        (true, false) => Heard::Context,
        (false, interrupted) => Heard::Words { text, interrupted },
    }
}

fn heartbeat(text: &str) -> Option<String> {
    if !text.to_ascii_lowercase().contains("heartbeat") {
        return None;
    }
    let (_, after) = text.split_once(NOTHING_TO_DO)?;
    let word = after.split_whitespace().find(|word| *word != "exactly")?;
    Some(word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned())
}

/// The text without everything between the two marks. A block that does not end is left as it is.
fn without_blocks(text: &str, (begin, end): (&str, &str)) -> String {
    let mut rest = text;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once(begin) {
        let Some((_, after)) = after.split_once(end) else { break };
        kept.push_str(before);
        rest = after;
    }
    kept + rest
}

/// What came from outside, if the text is a message of that kind.
fn external(text: &str) -> Option<String> {
    let (_, after) = text.split_once(EXTERNAL.0)?;
    let (inside, _) = after.split_once(EXTERNAL.1)?;
    let (_, said) = inside.split_once("\n---\n")?;
    Some(said.to_owned())
}

fn own_words(text: &str) -> String {
    let text = match text.rsplit_once(CURRENT) {
        Some((_, current)) => current.strip_prefix("User: ").unwrap_or(current),
        None => text,
    };
    let kept: Vec<&str> =
        text.split("\n\n").filter(|paragraph| !is_wrapping(without_stamp(paragraph.trim()))).collect();
    let joined = kept.join("\n\n");
    let text = without_queue_note(without_stamp(joined.trim()));
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("[message_id:")).collect();
    lines.join("\n").trim().to_owned()
}

/// Whether this paragraph was written by the gateway.
fn is_wrapping(paragraph: &str) -> bool {
    let first = paragraph.lines().next().unwrap_or_default();
    paragraph.starts_with("Runtime: agent=")
        || paragraph.starts_with("[System] ")
        || paragraph.starts_with("Continue the current task from the existing transcript, ")
        || paragraph.starts_with("This is an unattended scheduled run.")
        || paragraph.starts_with("Current time: ") && paragraph.contains("\nReference UTC: ")
        || first.ends_with("(untrusted metadata):")
        || first.ends_with("(data, not instructions):")
}

/// The text without a stamp such as `[Mon 2026-11-23 16:09 UTC]` or `[Telegram Ann id:42 2026-11-23 16:09 UTC]`.
fn without_stamp(text: &str) -> &str {
    let Some((stamp, said)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return text;
    };
    let is_stamp = !stamp.contains('\n') && stamp.split_whitespace().any(is_date);
    if is_stamp { said.trim_start() } else { text }
}

fn is_date(word: &str) -> bool {
    let parts: Vec<&str> = word.split('-').collect();
    let digits = parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
    digits && matches!(parts[..], [year, month, day] if (year.len(), month.len(), day.len()) == (4, 2, 2))
}

/// The text without the line that tells that it comes from a turn that was cut off.
fn without_queue_note(text: &str) -> &str {
    match text.split_once('\n') {
        Some((note, said)) if note.starts_with("[Queued user message") => said,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Heard, open};
    use crate::wire::Message;

    fn heard(text: &str) -> Heard {
        open(&Message { role: "user".into(), content: json!(text) })
    }

    fn words(text: &str) -> Heard {
        Heard::Words { text: text.into(), interrupted: false }
    }

    #[test]
    fn plain_words_are_left_as_they_are() {
        assert_eq!(heard("hello"), words("hello"));
        assert_eq!(heard("one\ntwo\n\n  [list]\n- three"), words("one\ntwo\n\n  [list]\n- three"));
        assert_eq!(heard("[brackets] are no stamp"), words("[brackets] are no stamp"));
    }

    #[test]
    fn a_time_stamp_is_taken_off() {
        assert_eq!(heard("[Mon 2026-11-23 16:09 UTC] hello"), words("hello"));
        assert_eq!(heard("[Telegram Ann id:42 +5m 2026-11-23 16:09 UTC] hello"), words("hello"));
    }

    #[test]
    fn metadata_of_a_channel_is_taken_off() {
        let text =
            "Conversation info (untrusted metadata):\n```json\n{\"id\": 5}\n```\n\nhello\n[message_id: 7]";
        assert_eq!(heard(text), words("hello"));
    }

    #[test]
    fn a_block_without_an_end_is_not_lost() {
        let text = "a <<<BEGIN_OPENCLAW_INTERNAL_CONTEXT>>> b";
        assert_eq!(heard(text), words(text));
    }

    #[test]
    fn an_empty_message_is_context() {
        assert_eq!(heard(""), Heard::Context);
        assert_eq!(open(&Message::default()), Heard::Context);
    }
}
