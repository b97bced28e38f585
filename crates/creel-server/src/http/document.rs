//! What every operation of the document has in common: which token it wants, and that it may answer a problem.

use creel_api::problem::Problem;
use utoipa::PartialSchema;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, ResponseBuilder,
};

use crate::refusal::PROBLEM;

/// The token of `<data>/token`.
pub(crate) const ADMIN: &str = "admin";

/// The token of `<data>/run/node.token`.
pub(crate) const NODE: &str = "node";

/// One document of these groups of routes, each with the token it wants.
pub(crate) fn of(groups: impl IntoIterator<Item = (OpenApi, Option<&'static str>)>) -> OpenApi {
    groups.into_iter().fold(base(), |document, (mut group, scheme)| {
        group.paths.paths.values_mut().flat_map(operations).for_each(|operation| complete(operation, scheme));
        document.merge_from(group)
    })
}

fn base() -> OpenApi {
    let info = InfoBuilder::new().title("creel").version(env!("CARGO_PKG_VERSION")).description(Some(
        "The control plane for OpenClaw agents. Times are RFC 3339, sizes are bytes, spans are milliseconds.",
    ));
    let components = ComponentsBuilder::new()
        .schema("Problem", Problem::schema())
        .security_scheme(ADMIN, bearer("The token that `creel token show` prints."))
        .security_scheme(NODE, bearer("The token of the wardens of this server."));
    OpenApiBuilder::new().info(info.build()).components(Some(components.build())).build()
}

fn bearer(description: &str) -> SecurityScheme {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description));
    SecurityScheme::Http(scheme.build())
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
}

fn complete(operation: &mut Operation, scheme: Option<&str>) {
    operation.security = scheme.map(|name| vec![SecurityRequirement::new(name, Vec::<String>::new())]);
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem = ResponseBuilder::new().description("It was not done, and why.").content(PROBLEM, content);
    operation.responses.responses.insert("default".into(), problem.build().into());
}
