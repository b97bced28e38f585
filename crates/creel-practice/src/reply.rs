//! How a request is treated from its first to its last byte: decided at once from script, directive and options, so
//! that carrying it out leaves no choice.

use crate::Options;
use crate::answer::{Answer, answer};
use crate::behaviour::Behaviour;
use crate::conversation::Conversation;
use crate::directive::Directive;
use crate::wire::{ChatRequest, ToolCall};

/// How to treat a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// Wait so long before anything else.
    pub(crate) delay_ms: u64,
    /// Then do this.
    pub(crate) ending: Ending,
}

/// What a request comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ending {
    /// An HTTP status.
    Fail(u16),
    /// The connection is closed.
    Refuse,
    /// Nothing, for ever.
    Hang,
    /// An answer.
    Speak(Speech),
}

/// An answer and its pace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Speech {
    /// What is said.
    pub(crate) answer: Answer,
    /// The pause before each word.
    pub(crate) delay_per_word_ms: u64,
    /// Whether it never comes to its end.
    pub(crate) endless: bool,
}

impl Ending {
    /// In a few words, for the record.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Fail(status) => format!("fail {status}"),
            Self::Refuse => "refuse".into(),
            Self::Hang => "hang".into(),
            Self::Speak(speech) if speech.answer.calls.is_empty() => "say".into(),
            Self::Speak(_) => "toolCalls".into(),
        }
    }
}

/// Decides how this request is treated: a script wins over a directive, and that over the options.
pub(crate) fn decide(
    request: &ChatRequest,
    heard: &Conversation,
    scripted: Option<Behaviour>,
    options: &Options,
) -> Reply {
    // A turn that was cut off is taken up once more by the gateway: if it hung before, it would hang for ever.
    let directive = Directive::find(heard.last()).filter(|_| !heard.interrupted && heard.heartbeat.is_none());
    match scripted {
        Some(behaviour) => follow(behaviour, answer(request, heard, directive.as_ref()), options),
        None => obey(request, heard, directive.as_ref(), options),
    }
}

fn obey(
    request: &ChatRequest,
    heard: &Conversation,
    directive: Option<&Directive>,
    options: &Options,
) -> Reply {
    let delay_per_word_ms = match directive {
        Some(Directive::Slow(ms)) => *ms,
        _ => options.delay_per_word_ms,
    };
    let ending = match directive {
        Some(Directive::Fail(status)) => Ending::Fail(*status),
        Some(Directive::Refuse) => Ending::Refuse,
        Some(Directive::Hang) => Ending::Hang,
        _ => {
            let answer = answer(request, heard, directive);
            Ending::Speak(Speech { answer, delay_per_word_ms, endless: false })
        }
    };
    Reply { delay_ms: 0, ending }
}

fn follow(behaviour: Behaviour, usual: Answer, options: &Options) -> Reply {
    let delay_ms = behaviour.delay_ms.unwrap_or_default();
    let speaks = behaviour.say.is_some() || !behaviour.tool_calls.is_empty();
    let ending = match behaviour {
        Behaviour { fail: Some(status), .. } => Ending::Fail(status),
        Behaviour { refuse: true, .. } => Ending::Refuse,
        Behaviour { hang: true, .. } if !speaks => Ending::Hang,
        behaviour => Ending::Speak(speech(behaviour, usual, options)),
    };
    Reply { delay_ms, ending }
}

fn speech(behaviour: Behaviour, usual: Answer, options: &Options) -> Speech {
    let delay_per_word_ms = behaviour.delay_per_word_ms.unwrap_or(options.delay_per_word_ms);
    let calls: Vec<ToolCall> = behaviour
        .tool_calls
        .into_iter()
        .map(|call| ToolCall {
            name: call.name,
            arguments: serde_json::Value::Object(call.arguments).to_string(),
        })
        .collect();
    let answer = match behaviour.say {
        Some(text) => Answer { text, calls },
        None if calls.is_empty() => usual,
        None => Answer { text: String::new(), calls },
    };
    Speech { answer, delay_per_word_ms, endless: behaviour.hang }
}
