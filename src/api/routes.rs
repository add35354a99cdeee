//! The routes, one file per kind of thing that they are about: what each reads of a request, what it asks the node, what it
//! answers.

mod artifacts;
mod documents;
mod events;
mod metrics;
mod node;
mod probes;
mod slots;
mod submit;
mod webhooks;

use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::Api;

/// All of them, with what they say of themselves added to `document`.
pub(super) fn all(document: OpenApi) -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(document)
        .routes(routes!(slots::list, submit::post))
        .routes(routes!(slots::show, submit::put, slots::cancel))
        .routes(routes!(artifacts::fetch))
        .routes(routes!(events::of_slot))
        .routes(routes!(events::all))
        .routes(routes!(node::show))
        .routes(routes!(node::snapshots))
        .routes(routes!(node::drain))
        .routes(routes!(node::undrain))
        .routes(routes!(node::reload))
        .routes(routes!(node::acknowledge))
        .routes(routes!(metrics::scrape))
        .routes(routes!(webhooks::list))
        .routes(routes!(webhooks::replay))
        .routes(routes!(probes::live))
        .routes(routes!(probes::ready))
        .routes(routes!(probes::started))
        .routes(routes!(documents::openapi))
        .routes(routes!(documents::problem))
}
