//! The control plane's body: the store, the API, the turn, and the data path to the wardens. It may die at any
//! moment: what it acknowledged is on disk, agents do not notice, and the next one goes on from the store.
//!
//! It decides nothing itself: requests become [`creel_core::world::Decision`]s of their users, everything else is
//! decided by [`creel_core::fleet::plan`]. It never calls a warden to make it do something, only to pass data.

mod channels;
mod events;
mod file;
mod http;
mod identity;
mod lock;
mod observed;
mod refusal;
mod selector;
mod serve;
mod server;
mod token;
mod turn;
mod upstream;
mod vault;
mod view;
mod warden_socket;

#[cfg(test)]
mod tests;

pub use serve::{Options, ServeError, run};

/// The OpenAPI document of the API, as pretty JSON with a newline at its end.
pub fn openapi() -> String {
    let json = http::document().to_pretty_json();
    json.expect("a document made of strings and maps with string keys is always JSON") + "\n"
}
