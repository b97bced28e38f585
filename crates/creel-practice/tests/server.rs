//! The server over HTTP, as a client sees it.

use std::time::Duration;

use creel_practice::{HeardRequests, Options, serve};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    url: String,
    client: Client,
    shutdown: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (shutdown, told) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listener, options, async move { drop(told.await) }));
        let client = Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        Self { url, client, shutdown: Some(shutdown), served }
    }

    fn ask(&self, text: &str, more: &Value) -> RequestBuilder {
        let mut body = json!({"model": "any", "messages": [{"role": "user", "content": text}]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.client.post(format!("{}/v1/chat/completions", self.url)).json(&body)
    }

    async fn say(&self, text: &str) -> Response {
        self.ask(text, &json!({})).send().await.unwrap()
    }

    async fn script(&self, lines: &Value) -> StatusCode {
        self.client.post(format!("{}/practice/script", self.url)).json(lines).send().await.unwrap().status()
    }

    async fn heard(&self, after: u64) -> HeardRequests {
        let url = format!("{}/practice/requests?after={after}", self.url);
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    async fn until_heard(&self, number: u64) -> HeardRequests {
        let look = async {
            loop {
                let heard = self.heard(0).await;
                if heard.last >= number {
                    return heard;
                }
            }
        };
        tokio::time::timeout(DEADLINE, look).await.expect("the request was never put on record")
    }

    async fn end(mut self) {
        drop(self.shutdown.take());
        tokio::time::timeout(DEADLINE, self.served).await.expect("it did not end").unwrap().unwrap();
    }
}

async fn text(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    body["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

/// The events of a stream, without the `[DONE]` that must end it.
async fn events(response: Response) -> Vec<Value> {
    let body = response.text().await.unwrap();
    let events = body.strip_suffix("data: [DONE]\n\n").expect("a stream ends with [DONE]");
    events
        .split_terminator("\n\n")
        .map(|e| serde_json::from_str(e.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

#[tokio::test]
async fn the_models_are_listed() {
    let server = Server::start(Options::default()).await;
    let list: Value =
        server.client.get(format!("{}/v1/models", server.url)).send().await.unwrap().json().await.unwrap();
    assert_eq!(list["data"][0]["id"], creel_practice::MODEL);
    server.end().await;
}

#[tokio::test]
async fn a_whole_answer_names_itself_practice_and_tells_its_usage() {
    let server = Server::start(Options::default()).await;
    let body: Value = server.say("hello").await.json().await.unwrap();
    let content = body["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.contains("practice model, not an AI") && content.contains("\"hello\""), "{content}");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let usage = &body["usage"];
    assert_eq!(usage["prompt_tokens"], 2);
    assert_eq!(usage["total_tokens"], 2 + usage["completion_tokens"].as_u64().unwrap());
    server.end().await;
}

#[tokio::test]
async fn a_stream_comes_word_by_word_and_is_the_same_text() {
    let server = Server::start(Options { delay_per_word_ms: 1, api_key: None }).await;
    let whole = text(server.say("a  b\nc").await).await;
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let events = events(server.ask("a  b\nc", &more).send().await.unwrap()).await;
    let words: Vec<&str> =
        events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(words.concat(), whole);
    assert!(words.len() > 10, "{words:?}");
    let [.., stop, usage] = &events[..] else { panic!("{events:?}") };
    assert_eq!(stop["choices"][0]["finish_reason"], "stop");
    assert!(usage["usage"]["total_tokens"].is_u64() && usage["choices"].as_array().unwrap().is_empty());
    server.end().await;
}

#[tokio::test]
async fn scripted_tool_calls_come_in_both_forms() {
    let server = Server::start(Options::default()).await;
    let call = json!({"toolCalls": [{"name": "exec", "arguments": {"command": "ls"}}], "say": "Looking."});
    assert_eq!(server.script(&json!([call, call])).await, StatusCode::OK);

    let whole: Value = server.say("go").await.json().await.unwrap();
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "Looking.");
    let function = json!({"name": "exec", "arguments": "{\"command\":\"ls\"}"});
    assert_eq!(choice["message"]["tool_calls"][0]["function"], function);

    let events = events(server.ask("go", &json!({"stream": true})).send().await.unwrap()).await;
    let deltas: Vec<&Value> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|d| d.is_object())
        .collect();
    assert_eq!(deltas[0]["function"], json!({"name": "exec", "arguments": ""}));
    assert!(deltas[0]["id"].is_string() && deltas[1]["id"].is_null());
    assert_eq!(deltas[1]["function"]["arguments"], "{\"command\":\"ls\"}");
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    server.end().await;
}

#[tokio::test]
async fn failures_are_told_as_the_clients_expect_them() {
    let server = Server::start(Options::default()).await;
    server.script(&json!([{"fail": 429}, {"fail": 500, "delayMs": 1}])).await;
    for status in [429, 500] {
        let failed = server.say("x").await;
        assert_eq!(failed.status().as_u16(), status);
        let body: Value = failed.json().await.unwrap();
        assert!(body["error"]["message"].as_str().unwrap().contains("told to fail"));
    }
    assert_eq!(server.say("practice: fail 401").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.say("x").await.status(), StatusCode::OK);
    let treatments: Vec<String> = server.heard(0).await.requests.into_iter().map(|r| r.treatment).collect();
    assert_eq!(treatments, ["fail 429", "fail 500", "fail 401", "say"]);
    server.end().await;
}

#[tokio::test]
async fn a_refused_connection_is_closed_without_a_word() {
    let server = Server::start(Options::default()).await;
    server.script(&json!({"refuse": true})).await;
    let error = server.ask("x", &json!({})).send().await.unwrap_err();
    assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    assert_eq!(server.say("x").await.status(), StatusCode::OK);
    server.end().await;
}

#[tokio::test]
async fn what_hangs_is_cut_off_when_the_server_ends() {
    let server = Server::start(Options::default()).await;
    server.script(&json!([{"hang": true}, {"say": "one two", "hang": true}])).await;
    let silent = tokio::spawn(server.ask("x", &json!({})).send());
    server.until_heard(1).await;
    let mut endless = server.ask("x", &json!({"stream": true})).send().await.unwrap();
    let first = endless.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: "));
    server.end().await;
    assert_eq!(silent.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let rest = endless.text().await.unwrap();
    assert!(!rest.contains("[DONE]") && !rest.contains("\"stop\""), "{rest}");
}

#[tokio::test]
async fn a_script_can_be_forgotten_and_a_wrong_one_says_why() {
    let server = Server::start(Options::default()).await;
    assert_eq!(server.script(&json!({"say": "never"})).await, StatusCode::OK);
    let url = format!("{}/practice/script", server.url);
    assert_eq!(server.client.delete(&url).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert!(text(server.say("hello").await).await.contains("hello"));
    let refused = server.client.post(&url).body("{\"sai\": 1}").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("sai"));
    server.end().await;
}

#[tokio::test]
async fn the_record_tells_who_asked_what_but_never_the_key() {
    let server = Server::start(Options::default()).await;
    let tools = json!({"tools": [{"type": "function", "function": {"name": "exec"}}]});
    let ask = server.ask("[Mon 2026-11-23 16:09 UTC] hello", &tools).bearer_auth("sk-secret-abcd");
    assert_eq!(ask.send().await.unwrap().status(), StatusCode::OK);
    server.say("second").await;
    let heard = server.heard(0).await;
    let first = &heard.requests[0];
    assert_eq!((first.number, first.key_ending.as_deref()), (1, Some("abcd")));
    assert_eq!((&first.said[..], &first.tools[..]), (&["hello".to_owned()][..], &["exec".to_owned()][..]));
    assert!(!serde_json::to_string(&heard).unwrap().contains("secret"));
    assert_eq!(server.heard(1).await.requests[0].said, ["second"]);
    server.end().await;
}

#[tokio::test]
async fn with_a_key_nothing_is_answered_without_it() {
    let server = Server::start(Options { api_key: Some("right".into()), ..Options::default() }).await;
    assert_eq!(server.say("x").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(server.ask("x", &json!({})).bearer_auth("wrong").send().await.unwrap().status(), 401);
    assert_eq!(server.script(&json!({"say": "x"})).await, StatusCode::UNAUTHORIZED);
    assert_eq!(server.ask("x", &json!({})).bearer_auth("right").send().await.unwrap().status(), 200);
    server.end().await;
}

#[tokio::test]
async fn what_is_no_chat_request_is_told_so() {
    let server = Server::start(Options::default()).await;
    let refused =
        server.client.post(format!("{}/v1/chat/completions", server.url)).body("{}").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(refused.text().await.unwrap().contains("messages"));
    let lost = server.client.get(format!("{}/v2", server.url)).send().await.unwrap();
    assert_eq!(lost.status(), StatusCode::NOT_FOUND);
    server.end().await;
}
