//! The `OpenAPI` document: made from the handlers and the wire types, so that it cannot say anything else.

use std::sync::LazyLock;

use api::problem::{PROBLEM_JSON, Problem};
use axum::response::Response;
use utoipa::{
    Modify, OpenApi, PartialSchema as _, ToSchema,
    openapi::{
        OpenApi as Document, Ref, RefOr, Required,
        content::ContentBuilder,
        path::{Operation, ParameterBuilder, ParameterIn},
        response::ResponseBuilder,
        schema::{ObjectBuilder, Type},
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{audit, fleet, gates, ha, metrics, nodes, rbac, rollouts};
use crate::{
    events,
    server::{Refusal, json_response},
};

/// The scheme of bearer tokens.
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(title = "autonomy control plane", description = "Rollouts, releases, nodes, events, roles, audit."),
    paths(
        ha::health, ha::read_ready, ha::write_ready, events::ingest, events::list, events::stream::stream,
        rollouts::create, rollouts::list, rollouts::stuck, rollouts::show, rollouts::explain,
        rollouts::publish, rollouts::pause, rollouts::resume, rollouts::cancel, rollouts::recover, rollouts::halt,
        gates::list, gates::approve, gates::reject, fleet::publish, fleet::latest, nodes::desired, nodes::ack,
        nodes::heartbeat, fleet::list, fleet::summary, ha::status, ha::resign, audit::query, audit::append,
        rbac::whoami, rbac::roles, rbac::create_role, rbac::delete_role, rbac::assignments, rbac::assign,
        rbac::unassign, rbac::tokens, rbac::create_token, rbac::revoke_token, metrics::show, describe,
    ),
    modifiers(&Everywhere),
)]
struct Described;

/// What holds for every route.
struct Everywhere;

impl Modify for Everywhere {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.schemas.insert(Problem::name().into_owned(), Problem::schema());
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name())));
        let refused = ResponseBuilder::new()
            .description("Refused: a problem (RFC 9457) with a stable code.")
            .content(PROBLEM_JSON, problem.build())
            .build();
        for (path, item) in &mut document.paths.paths {
            item.get.iter_mut().for_each(|it| complete(it, &refused));
            for operation in item.post.iter_mut().chain(&mut item.delete) {
                complete(operation, &refused);
                conditions(operation, path);
            }
        }
    }
}

fn complete(operation: &mut Operation, refused: &utoipa::openapi::response::Response) {
    // Handlers are named within their module; in the document each name stands once.
    let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
    let name = operation.operation_id.take().unwrap_or_default();
    operation.operation_id = Some(format!("{tag}_{name}"));
    let default = RefOr::T(refused.clone());
    operation.responses.responses.insert("default".to_owned(), default);
    operation.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
}

/// The headers of changes, where they mean something: events have ids of their own, roles are as they are, and the
/// audit trail takes what it is given.
fn conditions(operation: &mut Operation, path: &str) {
    let keyed = ["/v1/rollouts", "/v1/releases", "/v1/nodes/", "/v1/rbac/tokens"];
    let mut add = |name: &str, description: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(255)).build();
        let header = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Header)
            .required(Required::False)
            .description(Some(description))
            .schema(Some(text))
            .build();
        operation.parameters.get_or_insert_default().push(RefOr::T(header));
    };
    if keyed.iter().any(|it| path.starts_with(it)) {
        add("Idempotency-Key", "A request that is sent again with its key is done once.");
    }
    if path.starts_with("/v1/rollouts/{id}/") {
        add("If-Match", "The generation that the plan must have, as its `ETag` says it.");
    }
}

static DOCUMENT: LazyLock<Document> = LazyLock::new(Described::openapi);

/// The document.
pub(crate) fn document() -> &'static Document {
    &DOCUMENT
}

/// Show this document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses((status = 200, description = "OpenAPI 3.1")))]
pub(crate) async fn describe() -> Result<Response, Refusal> {
    json_response(document())
}
