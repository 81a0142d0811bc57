//! What an answer that is not the wanted one means for an operator.
//!
//! # Table
//!
//! | answer                              | code                                | exit |
//! |-------------------------------------|-------------------------------------|-----:|
//! | 401, 403                            | that of the problem                 |    3 |
//! | 404                                 | that of the problem                 |    5 |
//! | 409, 412                            | that of the problem                 |    6 |
//! | 429, 503                            | that of the problem                 |   75 |
//! | any other refusal                   | that of the problem                 |    1 |
//! | 404, 405, 501 that is no problem    | `FOREIGN_ANSWER`                    |    2 |
//! | success without what one of ours says about itself | `FOREIGN_ANSWER`     |    2 |
//! | another refusal that is no problem  | `CONTROL_PLANE_REFUSED`             | as above |
//! | success that cannot be read         | `CONTROL_PLANE_UNREADABLE`          |    1 |
//! | none                                | `CONTROL_PLANE_UNREACHABLE`         |    7 |
//! | none: its certificate does not hold | `TLS_UNTRUSTED`                     |    2 |
//! | none: it wants another certificate  | `TLS_CLIENT_CERTIFICATE`            |    3 |
//! | none: TLS on one side only          | `TLS_EXPECTED`                      |    2 |

use api::{env, exit::Exit, problem::Problem};
use reqwest::Method;

use super::asked::{Asked, Service};
use crate::{
    failure::{BROKEN_PIPE, Failure},
    printable::printable,
};

/// Longest part of an answer of somebody else that a message shows, in characters.
const EXCERPT_LEN_MAX: usize = 200;
/// Longest detail of a problem, in characters.
const DETAIL_LEN_MAX: usize = 4096;
/// How a control plane begins that nobody has a key to yet.
const NO_MANAGER: &str = "nobody can manage roles yet";
/// What the layers of a connection say that was not made.
const LAYERS: [&str; 2] = ["client error (connect)", "tcp connect error"];
/// What to do about a change whose end nobody here knows.
const MAY_BE_DONE: &str = "it may have been done: look before you do it again";
/// Code of a path that one of ours does not have.
const NO_ROUTE: &str = "NOT_FOUND";
/// Longest code that is taken for one.
const CODE_LEN_MAX: usize = 64;

/// Why a question has no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AskError {
    /// There is no answer.
    Unreachable {
        /// `Post "http://…"`.
        request: String,
        /// What happened.
        text: String,
        /// The errors behind it, outermost first.
        chain: Vec<String>,
        /// What came of what was asked.
        effect: Effect,
    },
    /// There is none, and asking again the same way gives none (Q2).
    Tls {
        /// `Post "http://…"`.
        request: String,
        /// What happened.
        text: String,
        /// Why.
        fault: TlsFault,
        /// What came of what was asked.
        effect: Effect,
    },
    /// It claims success and cannot be understood.
    Unreadable {
        /// `Post "http://…"`.
        request: String,
        /// What is wrong with it.
        text: String,
        /// What came of what was asked.
        effect: Effect,
    },
    /// It is a refusal.
    Refused(Box<Refused>),
}

/// A mistake in how the control plane was asked. Nothing was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsFault {
    /// Its certificate does not hold here.
    Untrusted,
    /// It wants a certificate, or another one.
    ClientCertificate,
    /// It was asked with TLS, and speaks none.
    NoTls,
    /// It was asked without TLS, and speaks nothing else.
    OnlyTls,
}

impl TlsFault {
    fn code(self) -> (Exit, &'static str) {
        match self {
            Self::Untrusted => (Exit::Usage, "TLS_UNTRUSTED"),
            Self::ClientCertificate => (Exit::Denied, "TLS_CLIENT_CERTIFICATE"),
            Self::NoTls | Self::OnlyTls => (Exit::Usage, "TLS_EXPECTED"),
        }
    }

    fn hint(self) -> String {
        match self {
            Self::Untrusted => format!(
                "set {} to the authority (PEM) that signed its certificate, and ask it by a name that stands there",
                env::CA_FILE
            ),
            Self::ClientCertificate => format!(
                "set {} and {} to a certificate that it lets in, and its key",
                env::CLIENT_CERTIFICATE,
                env::CLIENT_KEY
            ),
            Self::NoTls => "no TLS is spoken there: pass the URL with http://".to_owned(),
            Self::OnlyTls => "no plain HTTP is spoken there: pass the URL with https://".to_owned(),
        }
    }
}

/// What came of something that has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It would have changed nothing.
    Nothing,
    /// It would have changed something, and was not sent.
    NotSent,
    /// It may have changed something.
    Unknown,
}

impl Effect {
    /// That of a request that arrived, and whose answer is lost.
    pub(super) fn of_lost(method: &Method) -> Self {
        if *method == Method::GET { Self::Nothing } else { Self::Unknown }
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// `Post "http://…"`.
    pub(crate) request: String,
    /// Its HTTP status.
    pub(crate) status: u16,
    /// What the control plane says about it; `None` when somebody else answered.
    pub(crate) problem: Option<Problem>,
    /// The beginning of an answer that is no problem.
    pub(crate) excerpt: String,
    /// What it says it is.
    pub(crate) content_type: Option<String>,
    /// Who was asked; `None` where nobody says.
    pub(crate) asked: Option<Asked>,
    /// When to try again, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// Where else it would be answered.
    pub(crate) location: Option<String>,
    /// Whether it was done nevertheless, as far as anybody here knows.
    pub(crate) may_be_done: bool,
}

impl Refused {
    /// Reads the body of a refusal.
    pub(crate) fn new(request: String, status: u16, body: &[u8]) -> Self {
        let problem: Option<Problem> = serde_json::from_slice(body).ok();
        let problem = problem
            .filter(|it| is_code(&it.code))
            .map(|it| Problem { detail: it.detail.chars().take(DETAIL_LEN_MAX).collect(), ..it });
        let text = String::from_utf8_lossy(body);
        let excerpt = match problem {
            Some(_) => String::new(),
            None => printable(text.trim()).chars().take(EXCERPT_LEN_MAX).collect(),
        };
        Self {
            request,
            status,
            problem,
            excerpt,
            content_type: None,
            asked: None,
            retry_after: None,
            location: None,
            may_be_done: false,
        }
    }

    /// What it says when it is no problem.
    fn bare(&self) -> String {
        let Self { request, status, excerpt, .. } = self;
        let said = if excerpt.is_empty() { "" } else { ": " };
        format!("{request}: answered {status}{said}{excerpt}")
    }

    /// Whether somebody else answered: one of ours says about every path that it does not know that it is a problem. What stands
    /// before one of ours refuses with other words.
    fn is_foreign(&self) -> bool {
        self.problem.is_none() && matches!(self.status, 404 | 405 | 501)
    }

    /// What somebody else said, and who should have answered.
    fn foreign(&self) -> Failure {
        let Self { request, status, content_type, asked, .. } = self;
        let kind = content_type
            .as_deref()
            .map_or_else(|| "nothing that says what it is".into(), printable);
        foreign(asked.as_ref(), &format!("{request}: answered {status} with {kind}"))
    }

    /// Whether a server that speaks TLS only says so in plain text, as most do.
    fn is_of_tls(&self) -> bool {
        let said = self.excerpt.to_ascii_lowercase();
        self.status == 400
            && ["http request to an https server", "http request was sent to https port"]
                .iter()
                .any(|it| said.contains(it))
    }

    fn hint(&self) -> Option<String> {
        if let Some(hint) = self.problem.as_ref().and_then(hint_of) {
            return Some(hint);
        }
        // A path that one of ours does not know is one too many in the URL.
        if let Some(asked) = self.asked.as_ref().filter(|it| it.root.is_some())
            && self.problem.as_ref().is_some_and(|it| it.code == NO_ROUTE)
        {
            return Some(asked.hint());
        }
        let again = self.retry_after.map(|it| format!("try again in {it} s"));
        match (self.status, &self.location) {
            (300..=399, Some(location)) => Some(format!(
                "redirects are not followed: pass --orchestrator-url with the host of {location}"
            )),
            (401, _) => {
                Some(format!("set {} to a secret of: autonomy rbac token create", env::TOKEN))
            }
            (403, _) => Some("see what you may do: autonomy rbac whoami".to_owned()),
            (412, _) => {
                Some("somebody changed it meanwhile: look again before you change it".to_owned())
            }
            (429 | 503, _) => again.or_else(|| Some("try again".to_owned())),
            _ => again,
        }
    }
}

/// Somebody else answered.
pub(super) fn foreign(asked: Option<&Asked>, said: &str) -> Failure {
    let what = asked.map_or(Service::ControlPlane, |it| it.what);
    let at = asked.map_or_else(String::new, |it| format!(" at {}", it.at));
    let message = format!("what answers{at} is not {}: {said}", what.name());
    let hint = asked.map_or_else(|| "check the URL".to_owned(), Asked::hint);
    Failure::new(Exit::Usage, "FOREIGN_ANSWER", message).hint(hint)
}

/// What to do about a problem that says more than its status does.
fn hint_of(problem: &Problem) -> Option<String> {
    let hint = match problem.code.as_str() {
        "OPERATOR_MISMATCH" => {
            return Some(format!("unset {}, or set it to the subject of the token", env::OPERATOR));
        }
        "UNAUTHENTICATED" if problem.detail.contains(NO_MANAGER) => {
            "on the machine of the control plane: autonomy rbac role assign, then autonomy rbac token create"
        }
        "FINGERPRINT_FORM" => {
            "take it from the lock: autonomy lock show LOCK, or jq -r .behavioral_fingerprint LOCK"
        }
        "GATE_UNKNOWN" => "see what there is: autonomy rollout gate list PLAN STAGE",
        "PHASE_CONFLICT" | "STAGE_CONFLICT" => {
            "see where it is, and what it takes: autonomy rollout explain PLAN"
        }
        "ROLE_NOT_FOUND" | "ROLE_NAME_FORBIDDEN" => "see what there is: autonomy rbac role list",
        "PERMISSION_UNKNOWN" => "autonomy rbac role list shows the names",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Whether a text is a code: it stands in messages and scripts. That of a closed pipe is none: here it means
/// that all is well.
fn is_code(text: &str) -> bool {
    let fits = |it: u8| it.is_ascii_alphanumeric() || it == b'_';
    text != BROKEN_PIPE && !text.is_empty() && text.len() <= CODE_LEN_MAX && text.bytes().all(fits)
}

/// The exit code of a refusal.
pub(crate) const fn exit_of(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        429 | 503 => Exit::Busy,
        _ => Exit::Failed,
    }
}

/// There is no answer.
fn unanswered(message: String, chain: Vec<String>, effect: Effect) -> Failure {
    let mut failure = Failure::new(Exit::Unreachable, "CONTROL_PLANE_UNREACHABLE", message);
    failure.cause = chain;
    // What the message says already, and what every layer says about the one below it.
    let said = failure.message.to_lowercase();
    failure.cause.retain(|it| {
        let words = it.split(" (os error ").next().unwrap_or(it).to_lowercase();
        !said.contains(&words) && !LAYERS.contains(&words.as_str())
    });
    let check = "check the URL, and that the control plane runs there";
    failure.hint = Some(match effect {
        Effect::Nothing => check.to_owned(),
        Effect::NotSent => format!("nothing was done; {check}"),
        Effect::Unknown => MAY_BE_DONE.to_owned(),
    });
    failure.may_be_done = effect == Effect::Unknown;
    failure
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Unreachable { request, text, chain, effect } => {
                unanswered(format!("{request}: {text}"), chain, effect)
            }
            AskError::Tls { request, text, fault, effect } => {
                let (exit, code) = fault.code();
                let failure = Self::new(exit, code, format!("{request}: {text}"));
                failure.hint(match effect {
                    Effect::Nothing => fault.hint(),
                    Effect::NotSent | Effect::Unknown => {
                        format!("nothing was done; {}", fault.hint())
                    }
                })
            }
            AskError::Unreadable { request, text, effect } => {
                let message = format!("{request}: the answer cannot be used: {text}");
                let mut failure = Self::new(Exit::Failed, "CONTROL_PLANE_UNREADABLE", message);
                let check = "check that the URL is that of a control plane of this version";
                failure.may_be_done = effect == Effect::Unknown;
                failure.hint(match effect {
                    Effect::Unknown => format!("{MAY_BE_DONE}, and {check}"),
                    Effect::Nothing | Effect::NotSent => check.to_owned(),
                })
            }
            AskError::Refused(refused) if refused.is_of_tls() => {
                let fault = TlsFault::OnlyTls;
                let (exit, code) = fault.code();
                Self::new(exit, code, refused.bare()).hint(fault.hint())
            }
            AskError::Refused(refused) if refused.is_foreign() => {
                let mut failure = refused.foreign();
                failure.may_be_done = refused.may_be_done;
                failure
            }
            AskError::Refused(refused) => {
                let exit = exit_of(refused.status);
                let mut failure = match &refused.problem {
                    Some(problem) if problem.detail.is_empty() => {
                        Self::new(exit, &problem.code, problem.title.clone())
                    }
                    Some(problem) => Self::new(exit, &problem.code, problem.detail.clone()),
                    None => Self::new(exit, "CONTROL_PLANE_REFUSED", refused.bare()),
                };
                failure.hint = refused.hint();
                if refused.may_be_done {
                    failure.may_be_done = true;
                    failure.hint = Some(MAY_BE_DONE.to_owned());
                }
                failure
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Failure {
        let request = "Get \"http://h/v1/x\"".to_owned();
        AskError::Refused(Box::new(Refused::new(request, status, body.as_bytes()))).into()
    }

    /// The table of the module.
    #[test]
    fn a_status_has_one_exit_code() {
        for (status, exit) in [
            (307, Exit::Failed),
            (400, Exit::Failed),
            (401, Exit::Denied),
            (403, Exit::Denied),
            (404, Exit::NotFound),
            (409, Exit::Conflict),
            (412, Exit::Conflict),
            (422, Exit::Failed),
            (429, Exit::Busy),
            (500, Exit::Failed),
            (503, Exit::Busy),
            (507, Exit::Failed),
        ] {
            let problem = Problem::new(status, "SOME_CODE", "Title", "what is wrong");
            let failure = refused(status, &serde_json::to_string(&problem).unwrap());
            assert_eq!((failure.exit, failure.code.as_str()), (exit, "SOME_CODE"), "{status}");
            assert_eq!(failure.message, "what is wrong");
            if status == 404 {
                continue;
            }
            let failure = refused(status, "<html>");
            assert_eq!((failure.exit, failure.code.as_str()), (exit, "CONTROL_PLANE_REFUSED"));
            assert_eq!(
                failure.message,
                format!("Get \"http://h/v1/x\": answered {status}: <html>")
            );
        }
    }

    #[test]
    fn a_stranger_is_named_as_one_and_a_path_too_many_is_said() {
        let root = |it: Option<&str>| it.map(str::to_owned);
        let asked = |what, path| Asked { what, at: "http://h:1".to_owned(), root: root(path) };
        for (status, what, path, name, next) in [
            (404, Service::Runtime, None, "an autonomy runtime", "--runtime-url URL"),
            (405, Service::ControlPlane, None, "an autonomy control plane", "autonomy doctor"),
            (
                501,
                Service::ControlPlane,
                Some("http://h:1"),
                "control plane",
                "without a path: --orchestrator-url http://h:1",
            ),
        ] {
            let plain = Refused::new("Get \"http://h:1/v1/x\"".to_owned(), status, b"<html>");
            let content_type = root(Some("text/html"));
            let refused = Refused { asked: Some(asked(what, path)), content_type, ..plain };
            let failure = Failure::from(AskError::Refused(Box::new(refused)));
            assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "FOREIGN_ANSWER"));
            let message = &failure.message;
            assert!(message.starts_with("what answers at http://h:1 is not "), "{message}");
            assert!(message.contains(name) && message.ends_with("with text/html"), "{message}");
            assert!(!message.contains("<html>") && failure.hint.unwrap().contains(next));
        }
        let unknown = Problem::new(404, "NOT_FOUND", "Not found", "there is no such path");
        let body = serde_json::to_vec(&unknown).unwrap();
        let refused = Refused::new("Get".to_owned(), 404, &body);
        let asked = Some(asked(Service::ControlPlane, Some("http://h:1")));
        let failure = Failure::from(AskError::Refused(Box::new(Refused { asked, ..refused })));
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::NotFound, "NOT_FOUND"));
        assert!(failure.hint.unwrap().contains("without a path"));
    }

    #[test]
    fn an_answer_of_somebody_else_is_cut_and_obeyed_by_no_terminal() {
        let failure = refused(502, &format!("\u{1b}[2J{}", "x".repeat(9_000)));
        assert!(failure.message.contains("\\u{1b}[2Jxxx") && failure.message.len() < 400);
        // A code goes into scripts.
        let odd = r#"{"type":"t","title":"t","status":500,"detail":"d","code":"A B;rm"}"#;
        assert_eq!(refused(500, odd).code, "CONTROL_PLANE_REFUSED");
        // A code that means that all is well here is not that of somebody else.
        assert_eq!(refused(500, &odd.replace("A B;rm", BROKEN_PIPE)).code, "CONTROL_PLANE_REFUSED");
        let long =
            odd.replace("A B;rm", "A_B").replace("\"d\"", &format!("\"{}\"", "d".repeat(99_999)));
        assert_eq!(refused(500, &long).message.len(), DETAIL_LEN_MAX);
        assert_eq!(refused(500, "").message, "Get \"http://h/v1/x\": answered 500");
    }

    #[test]
    fn a_mistake_about_tls_has_its_code_and_says_what_to_set() {
        for (fault, exit, code, hint) in [
            (TlsFault::Untrusted, Exit::Usage, "TLS_UNTRUSTED", "AUTONOMY_CA_FILE"),
            (
                TlsFault::ClientCertificate,
                Exit::Denied,
                "TLS_CLIENT_CERTIFICATE",
                "AUTONOMY_CLIENT_CERTIFICATE and AUTONOMY_CLIENT_KEY",
            ),
            (TlsFault::NoTls, Exit::Usage, "TLS_EXPECTED", "http://"),
            (TlsFault::OnlyTls, Exit::Usage, "TLS_EXPECTED", "https://"),
        ] {
            let (request, text) = ("Post \"x\"".to_owned(), "t".to_owned());
            let failure =
                Failure::from(AskError::Tls { request, text, fault, effect: Effect::NotSent });
            assert_eq!((failure.exit, failure.code.as_str()), (exit, code));
            let told = failure.hint.unwrap();
            assert!(told.starts_with("nothing was done; ") && told.contains(hint), "{told}");
            assert!(!failure.may_be_done);
        }
        for said in [
            "Client sent an HTTP request to an HTTPS server.",
            "<html><title>400 The plain HTTP request was sent to HTTPS port</title>",
        ] {
            assert_eq!(refused(400, said).code, "TLS_EXPECTED");
            assert_eq!(refused(502, said).code, "CONTROL_PLANE_REFUSED");
        }
    }

    #[test]
    fn a_problem_that_says_more_than_its_status_has_a_hint_of_its_own() {
        let hint = |status, code: &str, detail: &str| {
            let problem = Problem::new(status, code, "Title", detail);
            refused(status, &serde_json::to_string(&problem).unwrap()).hint.unwrap()
        };
        for (status, code, detail, want) in [
            (403, "OPERATOR_MISMATCH", "", "unset AUTONOMY_OPERATOR, or set it to the subject of"),
            (
                401,
                "UNAUTHENTICATED",
                "nobody can manage roles yet: run",
                "autonomy rbac role assign",
            ),
            (401, "UNAUTHENTICATED", "nobody can manage roles yet", "autonomy rbac token create"),
            (401, "UNAUTHENTICATED", "a bearer token is needed", "set AUTONOMY_TOKEN"),
            (400, "FINGERPRINT_FORM", "", "autonomy lock show LOCK"),
            (404, "GATE_UNKNOWN", "", "autonomy rollout gate list PLAN STAGE"),
            (409, "PHASE_CONFLICT", "", "autonomy rollout explain PLAN"),
            (409, "STAGE_CONFLICT", "", "autonomy rollout explain PLAN"),
            (404, "ROLE_NOT_FOUND", "", "autonomy rbac role list"),
            (400, "ROLE_NAME_FORBIDDEN", "", "autonomy rbac role list"),
            (400, "PERMISSION_UNKNOWN", "", "autonomy rbac role list"),
        ] {
            let told = hint(status, code, detail);
            assert!(told.contains(want), "{code}: {told}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do_next() {
        assert!(refused(401, "").hint.unwrap().contains("AUTONOMY_TOKEN"));
        assert!(refused(403, "").hint.unwrap().contains("rbac whoami"));
        assert!(refused(412, "").hint.is_some() && refused(400, "").hint.is_none());
        let request = "Post \"http://h\"".to_owned();
        let busy = Refused { retry_after: Some(7), ..Refused::new(request.clone(), 429, b"") };
        assert_eq!(busy.hint().unwrap(), "try again in 7 s");
        let location = Some("http://leader:1/".to_owned());
        let moved = Refused { location, ..Refused::new(request, 307, b"") };
        assert!(moved.hint().unwrap().contains("http://leader:1/"));
    }
}
