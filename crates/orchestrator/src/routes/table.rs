//! Every route, and what it needs. Router, `OpenAPI` document and the truth table of permissions are made from it.

use axum::{
    Router,
    middleware::from_fn_with_state,
    routing::{MethodRouter, delete, get, post},
};

use super::{audit, fleet, gate, gates, ha, metrics, nodes, openapi, rbac, rollouts};
use crate::{
    auth::permission::Permission::{
        self, AuditHistoryRead, FleetRead, HaWrite, RbacManage, ReleaseChannelRead, RolloutWrite,
        TelemetryRead, TelemetryWrite,
    },
    events,
    server::App,
};

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing.
    Nothing,
    /// To be somebody.
    Identity,
    /// A permission.
    Permission(Permission),
    /// A permission, or to come first, from this machine.
    BootstrapOr(Permission),
    /// To be the node in the path.
    Node,
    /// To be the node in the path, or a permission.
    NodeOr(Permission),
    /// To be on this machine, or a permission.
    Here(Permission),
}

/// One route.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    /// Whether it is answered without a place among the requests in work, and may take as long as it likes.
    pub(crate) unbounded: bool,
    handler: MethodRouter<App>,
}

fn row(
    method: &'static str,
    path: &'static str,
    needs: Needs,
    handler: MethodRouter<App>,
) -> Route {
    Route { method, path, needs, unbounded: false, handler }
}

/// The table.
#[rustfmt::skip]
pub(crate) fn routes() -> Vec<Route> {
    use Needs::{BootstrapOr, Here, Identity, Node, NodeOr, Nothing, Permission};
    const PLAN: &str = "/v1/rollouts/{id}";
    vec![
        // A busy service is a healthy one.
        Route { unbounded: true, ..row("GET", "/v1/health", Nothing, get(ha::health)) },
        Route { unbounded: true, ..row("GET", "/v1/health/read-ready", Nothing, get(ha::read_ready)) },
        Route { unbounded: true, ..row("GET", "/v1/health/write-ready", Nothing, get(ha::write_ready)) },
        row("POST", "/v1/events", Permission(TelemetryWrite), post(events::ingest)),
        row("GET", "/v1/events", Permission(TelemetryRead), get(events::list)),
        Route { unbounded: true, ..row("GET", "/v1/events/stream", Permission(TelemetryRead), get(events::stream::stream)) },
        row("POST", "/v1/rollouts", Permission(RolloutWrite), post(rollouts::create)),
        row("GET", "/v1/rollouts", Permission(FleetRead), get(rollouts::list)),
        row("GET", "/v1/rollouts/stuck", Permission(FleetRead), get(rollouts::stuck)),
        row("GET", PLAN, Permission(FleetRead), get(rollouts::show)),
        row("GET", "/v1/rollouts/{id}/explain", Permission(FleetRead), get(rollouts::explain)),
        row("POST", "/v1/rollouts/{id}/publish", Permission(RolloutWrite), post(rollouts::publish)),
        row("POST", "/v1/rollouts/{id}/pause", Permission(RolloutWrite), post(rollouts::pause)),
        row("POST", "/v1/rollouts/{id}/resume", Permission(RolloutWrite), post(rollouts::resume)),
        row("POST", "/v1/rollouts/{id}/cancel", Permission(RolloutWrite), post(rollouts::cancel)),
        row("POST", "/v1/rollouts/{id}/recover", Permission(RolloutWrite), post(rollouts::recover)),
        row("GET", "/v1/rollouts/{id}/stages/{stage}/gates", Permission(FleetRead), get(gates::list)),
        row("POST", "/v1/rollouts/{id}/stages/{stage}/gates/{gate}/approve", Permission(RolloutWrite), post(gates::approve)),
        row("POST", "/v1/rollouts/{id}/stages/{stage}/gates/{gate}/reject", Permission(RolloutWrite), post(gates::reject)),
        row("POST", "/v1/rollouts/{id}/stages/{stage}/halt", Permission(RolloutWrite), post(rollouts::halt)),
        row("POST", "/v1/releases", Permission(RolloutWrite), post(fleet::publish)),
        row("GET", "/v1/releases/latest", Permission(ReleaseChannelRead), get(fleet::latest)),
        row("GET", "/v1/nodes/{id}/desired", NodeOr(FleetRead), get(nodes::desired)),
        row("POST", "/v1/nodes/{id}/ack", Node, post(nodes::ack)),
        row("POST", "/v1/nodes/{id}/heartbeat", Node, post(nodes::heartbeat)),
        row("GET", "/v1/fleet", Permission(FleetRead), get(fleet::list)),
        row("GET", "/v1/fleet/summary", Permission(FleetRead), get(fleet::summary)),
        row("GET", "/v1/ha/status", Permission(FleetRead), get(ha::status)),
        row("POST", "/v1/ha/resign", Permission(HaWrite), post(ha::resign)),
        row("GET", "/v1/audit", Permission(AuditHistoryRead), get(audit::query)),
        row("POST", "/v1/audit", Permission(TelemetryWrite), post(audit::append)),
        row("GET", "/v1/rbac/whoami", Identity, get(rbac::whoami)),
        row("GET", "/v1/rbac/roles", Identity, get(rbac::roles)),
        row("POST", "/v1/rbac/roles", Permission(RbacManage), post(rbac::create_role)),
        row("DELETE", "/v1/rbac/roles/{name}", Permission(RbacManage), delete(rbac::delete_role)),
        row("GET", "/v1/rbac/assignments", Permission(RbacManage), get(rbac::assignments)),
        row("POST", "/v1/rbac/assignments", BootstrapOr(RbacManage), post(rbac::assign)),
        row("DELETE", "/v1/rbac/assignments/{role}/{subject}", Permission(RbacManage), delete(rbac::unassign)),
        row("GET", "/v1/rbac/tokens", Permission(RbacManage), get(rbac::tokens)),
        row("POST", "/v1/rbac/tokens", BootstrapOr(RbacManage), post(rbac::create_token)),
        row("DELETE", "/v1/rbac/tokens/{id}", Permission(RbacManage), delete(rbac::revoke_token)),
        row("GET", "/metrics", Here(TelemetryRead), get(metrics::show)),
        row("GET", "/openapi.json", Identity, get(openapi::describe)),
    ]
}

/// Puts the gate before each route of `rows`.
pub(crate) fn guarded(app: &App, rows: impl IntoIterator<Item = Route>) -> Router<App> {
    rows.into_iter().fold(Router::new(), |router, Route { path, needs, handler, .. }| {
        let gate = from_fn_with_state((app.clone(), needs), gate::pass);
        router.route(path, handler.route_layer(gate))
    })
}
