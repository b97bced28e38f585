//! What to answer: a pure function of the request. It never pretends to think.

use serde_json::json;

use crate::conversation::Conversation;
use crate::directive::Directive;
use crate::wire::{ChatRequest, Tool, ToolCall};

/// Of what was said before, at most so many messages are repeated: the first, and then the newest.
const REPEATED: usize = 6;

/// The most characters of a message that are repeated.
const QUOTED: usize = 400;

/// The directives, for somebody who got one wrong.
const USAGE: &str = "I know: practice: slow MILLISECONDS, practice: fail STATUS, practice: refuse, practice: hang, \
                     practice: run COMMAND.";

/// Text, or tools to call, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// May be empty when tools are called.
    pub(crate) text: String,
    /// What the agent shall do first.
    pub(crate) calls: Vec<ToolCall>,
}

impl Answer {
    /// Only text.
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), calls: Vec::new() }
    }
}

/// What to answer where no script says otherwise.
pub(crate) fn answer(request: &ChatRequest, heard: &Conversation, directive: Option<&Directive>) -> Answer {
    if let Some(word) = &heard.heartbeat {
        return Answer::text(word.clone());
    }
    match directive {
        _ if !heard.tool_results.is_empty() => Answer::text(tool_report(heard)),
        Some(Directive::Run(command)) => run(command, request.tools.as_deref().unwrap_or_default()),
        Some(Directive::Unknown(text)) => Answer::text(format!(
            "I am creel's practice model. `practice: {text}` means nothing to me. {USAGE}"
        )),
        _ => Answer::text(repeat(heard)),
    }
}

fn repeat(heard: &Conversation) -> String {
    let Some((last, earlier)) = heard.said.split_last() else {
        return "I am creel's practice model, not an AI: I repeat what I was told, and nothing was said."
            .into();
    };
    let said = quote(last);
    if earlier.is_empty() {
        return format!(
            "Hello! I am creel's practice model, not an AI: I repeat what I was told. You said: {said}."
        );
    }
    format!(
        "I am creel's practice model. You said: {said}. Before that you said: {} ({} messages in all).",
        enumerate(earlier),
        heard.said.len()
    )
}

fn enumerate(earlier: &[String]) -> String {
    let quotes: Vec<String> = earlier.iter().map(|said| quote(said)).collect();
    match quotes.len().checked_sub(REPEATED) {
        None | Some(0) => quotes.join(", "),
        Some(left_out) => format!("{}, …, {}", quotes[0], quotes[left_out + 1..].join(", ")),
    }
}

fn tool_report(heard: &Conversation) -> String {
    let results: Vec<String> = heard.tool_results.iter().map(|result| quote(result)).collect();
    format!("I am creel's practice model. The tool gave back: {}.", results.join(", "))
}

fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("\"{}…\"", &text[..end]),
        None => format!("\"{text}\""),
    }
}

fn run(command: &str, tools: &[Tool]) -> Answer {
    let Some(tool) = tools.iter().find(|tool| is_shell(tool)) else {
        return Answer::text(
            "I am creel's practice model. No shell tool was offered to me, so I can't run anything.",
        );
    };
    let arguments = json!({"command": command}).to_string();
    Answer { text: String::new(), calls: vec![ToolCall { name: tool.function.name.clone(), arguments }] }
}

/// OpenClaw calls it `exec`; its argument `command` is the only one that is needed.
fn is_shell(tool: &Tool) -> bool {
    let takes_command = tool.function.parameters.pointer("/properties/command").is_some();
    takes_command && ["exec", "bash", "shell"].contains(&tool.function.name.as_str())
}

#[cfg(test)]
mod tests {
    use super::{Answer, answer};
    use crate::conversation::Conversation;
    use crate::directive::Directive;
    use crate::wire::ChatRequest;

    fn said(count: usize) -> Conversation {
        Conversation { said: (1..=count).map(|n| format!("m{n}")).collect(), ..Conversation::default() }
    }

    fn text(heard: &Conversation) -> String {
        answer(&ChatRequest::default(), heard, None).text
    }

    #[test]
    fn a_first_message_is_greeted_and_named_practice() {
        let greeting = text(&said(1));
        assert_eq!(
            greeting,
            "Hello! I am creel's practice model, not an AI: I repeat what I was told. You said: \"m1\"."
        );
    }

    #[test]
    fn later_answers_repeat_what_was_said_before() {
        assert!(
            text(&said(3))
                .contains("You said: \"m3\". Before that you said: \"m1\", \"m2\" (3 messages in all).")
        );
        assert!(
            text(&said(7)).contains(": \"m1\", \"m2\", \"m3\", \"m4\", \"m5\", \"m6\" (7 messages in all).")
        );
        assert!(
            text(&said(20)).contains(": \"m1\", …, \"m15\", \"m16\", \"m17\", \"m18\", \"m19\" (20 messages")
        );
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let heard = Conversation { said: vec!["ü".repeat(2000)], ..Conversation::default() };
        assert!(text(&heard).ends_with(&format!("\"{}…\".", "ü".repeat(400))));
    }

    #[test]
    fn without_a_shell_tool_nothing_is_run() {
        let run = Directive::Run("ls".into());
        let Answer { text, calls } = answer(&ChatRequest::default(), &said(1), Some(&run));
        assert!(calls.is_empty() && text.contains("No shell tool"));
    }
}
