//! The kinds of problems: name, status, title and what they mean.

use axum::http::StatusCode;

use crate::api::backend::ProblemKind;
use crate::types::names;

names! {
    /// What kind of problem; its name is the last part of the document's `type`, and never changes.
    Kind, "a kind of problem" {
        /// The request cannot be understood.
        BadRequest => "bad-request",
        /// There is no valid token.
        Unauthorized => "unauthorized",
        /// The token does not allow it.
        Forbidden => "forbidden",
        /// The request comes from a foreign page.
        Origin => "foreign-origin",
        /// The recipe's signature, or whose it is.
        Signer => "signer",
        /// Nothing is there.
        NotFound => "not-found",
        /// The address takes other methods.
        MethodNotAllowed => "method-not-allowed",
        /// The request took too long to arrive.
        RequestTimeout => "request-timeout",
        /// Another recipe stands under this id.
        Conflict => "conflict",
        /// Not in this state.
        State => "state",
        /// It was there and has expired.
        Gone => "gone",
        /// What the request presumes does not hold.
        PreconditionFailed => "precondition-failed",
        /// The body is too large.
        TooLarge => "too-large",
        /// The body is not what is taken here.
        UnsupportedMediaType => "unsupported-media-type",
        /// No such part of the file.
        RangeNotSatisfiable => "range-not-satisfiable",
        /// The request is for another host.
        Misdirected => "misdirected",
        /// The recipe is wrong.
        InvalidRecipe => "invalid-recipe",
        /// It could not be done in time.
        Late => "late",
        /// The webhook is refused.
        Webhook => "webhook",
        /// Memory is short.
        Pressure => "pressure",
        /// The queue is full.
        QueueFull => "queue-full",
        /// The token asks too often.
        RateLimited => "rate-limited",
        /// The headers are too large.
        HeadersTooLarge => "headers-too-large",
        /// A fault of the node's own.
        Internal => "internal",
        /// Models are loading or cordoned, or lost data is not acknowledged.
        NotReady => "not-ready",
        /// The node takes nothing in any more.
        Draining => "draining",
        /// Too many streams are open.
        TooManyStreams => "too-many-streams",
        /// The node did not answer in time.
        Timeout => "timeout",
        /// It could not be written down.
        Storage => "storage",
    }
}

impl Kind {
    /// The HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::Origin | Self::Signer => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::State => StatusCode::CONFLICT,
            Self::Gone => StatusCode::GONE,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::InvalidRecipe | Self::Late | Self::Webhook => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Pressure | Self::QueueFull | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotReady | Self::Draining | Self::TooManyStreams | Self::Timeout => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Storage => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// A few words: the document's `title`.
    pub const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not understood",
            Self::Unauthorized => "A valid token is needed",
            Self::Forbidden => "The token does not allow this",
            Self::Origin => "The request comes from a foreign page",
            Self::Signer => "The recipe's signature is refused",
            Self::NotFound => "Nothing is here",
            Self::MethodNotAllowed => "The method is not allowed here",
            Self::RequestTimeout => "The request came too slowly",
            Self::Conflict => "Another recipe stands under this id",
            Self::State => "Not in this state",
            Self::Gone => "It has expired",
            Self::PreconditionFailed => "The condition does not hold",
            Self::TooLarge => "The body is too large",
            Self::UnsupportedMediaType => "The body's type is not taken",
            Self::RangeNotSatisfiable => "The file has no such part",
            Self::Misdirected => "The request is for another host",
            Self::InvalidRecipe => "The recipe is wrong",
            Self::Late => "It would be late",
            Self::Webhook => "The webhook is refused",
            Self::Pressure => "Memory is short",
            Self::QueueFull => "The queue is full",
            Self::RateLimited => "Too many requests",
            Self::HeadersTooLarge => "The headers are too large",
            Self::Internal => "A fault of the node",
            Self::NotReady => "The node is not ready",
            Self::Draining => "The node is draining",
            Self::TooManyStreams => "Too many streams are open",
            Self::Timeout => "The node did not answer in time",
            Self::Storage => "It could not be written down",
        }
    }

    /// What it means and what helps: the page under the document's `type`.
    pub const fn about(self) -> &'static str {
        match self {
            Self::BadRequest => {
                "A path, query or header of the request cannot be understood. `detail` names it, its value and what would be \
                 accepted."
            }
            Self::Unauthorized => {
                "The request carries no token, or one that is unknown, revoked or expired. Send `Authorization: Bearer TOKEN`; \
                 `vortex-node token new` makes one."
            }
            Self::Forbidden => {
                "The token is valid and lacks the scope that this address needs; `detail` names it."
            }
            Self::Origin => {
                "A page of another origin sent the request with this node's cookie. Nothing was done."
            }
            Self::Signer => {
                "The recipe's signature does not hold, or recipes of whoever signed it are not rendered here. Nothing was kept."
            }
            Self::NotFound => {
                "There is no such address, slot or file. Slots are listed under `/v1/slots`, a slot's files in its `artifacts`, \
                 all addresses in `/openapi.json`."
            }
            Self::MethodNotAllowed => {
                "The address is right and the method is not: the `Allow` header lists those that are."
            }
            Self::RequestTimeout => {
                "The request's body did not arrive in time. Nothing was kept; send it again."
            }
            Self::Conflict => {
                "Another recipe came under this id before, or the id in the address is not the recipe's. A recipe that differs \
                 needs an id of its own."
            }
            Self::State => "What was asked for makes no sense in the present state; `detail` names both.",
            Self::Gone => {
                "It was here, and its time is over: `expires_at` of a slot says until when its files are kept at least."
            }
            Self::PreconditionFailed => "The file's ETag is not among those of `If-Match`.",
            Self::TooLarge => "The body is larger than this node reads; `detail` names the limit.",
            Self::UnsupportedMediaType => {
                "Recipes are taken as `application/json` or without a type, and without a content coding."
            }
            Self::RangeNotSatisfiable => {
                "The `Range` lies behind the end of the file: `Content-Range` names its size."
            }
            Self::Misdirected => "The `Host` of the request is none of this node's names. Nothing was done.",
            Self::InvalidRecipe => {
                "The body is no recipe, or one with mistakes: `errors` lists all of them. `vortex-node recipe check` finds the \
                 same before anything is sent."
            }
            Self::Late => {
                "The slot could not be done by its deadline; `eta` says how many seconds it would take from now."
            }
            Self::Webhook => {
                "The webhook's address may not be called: accepted are https addresses of public hosts and those that the \
                 node's settings allow."
            }
            Self::Pressure => {
                "Memory stands above the soft limit: nothing is taken in until it is lower. Come again."
            }
            Self::QueueFull => "As many slots wait as may wait. Come again.",
            Self::RateLimited => "The token asks more often than it may. Come again.",
            Self::HeadersTooLarge => "The request's headers are larger than this node reads.",
            Self::Internal => {
                "Something went wrong in the node that is not the request's fault; its log tells what."
            }
            Self::NotReady => {
                "Models are loading or cordoned, or data was lost and no operator has acknowledged it. `/readyz` lists why."
            }
            Self::Draining => {
                "The node takes nothing in any more: it is on its way out, or an operator said so."
            }
            Self::TooManyStreams => {
                "As many event streams or waiting requests are open as may be. Come again."
            }
            Self::Timeout => {
                "The node did not answer in time. A slot that was handed in may have been accepted nevertheless: sending the \
                 same recipe again makes no second one."
            }
            Self::Storage => "The disk is full or does not write. Nothing was accepted.",
        }
    }

    /// The kind for an error that comes without one.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        // The first with this status is the most general one, but for two.
        match status {
            StatusCode::UNPROCESSABLE_ENTITY => Self::BadRequest,
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited,
            _ => Self::ALL
                .into_iter()
                .find(|kind| kind.status() == status)
                .unwrap_or(if status.is_server_error() { Self::Internal } else { Self::BadRequest }),
        }
    }
}

impl From<ProblemKind> for Kind {
    fn from(kind: ProblemKind) -> Self {
        match kind {
            ProblemKind::InvalidRecipe => Self::InvalidRecipe,
            ProblemKind::Signer => Self::Signer,
            ProblemKind::Late => Self::Late,
            ProblemKind::Conflict => Self::Conflict,
            ProblemKind::Pressure => Self::Pressure,
            ProblemKind::QueueFull => Self::QueueFull,
            ProblemKind::NotReady => Self::NotReady,
            ProblemKind::Draining => Self::Draining,
            ProblemKind::Storage => Self::Storage,
            ProblemKind::BadRequest => Self::BadRequest,
            ProblemKind::NotFound => Self::NotFound,
            ProblemKind::Gone => Self::Gone,
            ProblemKind::Webhook => Self::Webhook,
            ProblemKind::State => Self::State,
            ProblemKind::Internal => Self::Internal,
        }
    }
}
