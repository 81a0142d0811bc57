//! `autonomy rbac`.

use clap::{Args, Subcommand};

use super::{ControlArgs, Output};
use crate::span::parse_seconds;

#[derive(Debug, Subcommand)]
pub(crate) enum Rbac {
    /// Lists, creates, deletes, assigns roles.
    #[command(subcommand)]
    Role(Role),
    /// Creates, lists, revokes tokens.
    #[command(subcommand)]
    Token(Token),
    /// Shows as whom the control plane sees this caller, and what that permits.
    #[command(after_help = "Examples:
  autonomy rbac whoami
  autonomy rbac whoami --output json")]
    Whoami(Whoami),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Lists roles with what they permit.
    #[command(after_help = "Examples:
  autonomy rbac role list
  autonomy rbac role list --output json")]
    List(RoleList),
    /// Creates a role.
    #[command(after_help = "Examples:
  autonomy rbac role create --name releaser --permissions fleet:read,rollout:write
  autonomy rbac role create --name viewer --permissions fleet:read --description 'sees the fleet'")]
    Create(RoleCreate),
    /// Deletes a role that nobody has.
    #[command(after_help = "Examples:
  autonomy rbac role delete releaser
  autonomy rbac role delete releaser --output json")]
    Delete(RoleDelete),
    /// Lists who has which role.
    #[command(after_help = "Examples:
  autonomy rbac role assignments
  autonomy rbac role assignments --output json")]
    Assignments(RoleAssignments),
    /// Gives a role to a subject.
    ///
    /// While nobody has a role, this and `rbac token create` are all that works, from the machine of
    /// the control plane alone.
    #[command(after_help = "Examples:
  autonomy rbac role assign --role operator --subject ann --reason 'joined the team'
  autonomy rbac role assign --role node --subject node:arm-7")]
    Assign(RoleAssign),
    /// Takes a role from a subject.
    #[command(after_help = "Examples:
  autonomy rbac role unassign --role operator --subject ann
  autonomy rbac role unassign --role auditor --subject ann --force")]
    Unassign(RoleUnassign),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Creates a token and prints its secret, this once.
    ///
    /// In text mode the secret stands alone on stdout, so that a variable can take it.
    #[command(after_help = "Examples:
  AUTONOMY_TOKEN=$(autonomy rbac token create --subject ann --ttl 30d)
  autonomy rbac token create --subject node:arm-7 --output json")]
    Create(TokenCreate),
    /// Lists tokens, without their secrets.
    #[command(after_help = "Examples:
  autonomy rbac token list
  autonomy rbac token list --output json")]
    List(TokenList),
    /// Revokes a token at once.
    #[command(after_help = "Examples:
  autonomy rbac token revoke 7f3a…
  autonomy rbac token revoke 7f3a… --force")]
    Revoke(TokenRevoke),
}

#[derive(Args, Debug)]
pub(crate) struct Whoami {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RoleList {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RoleCreate {
    /// Name of the role.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,
    /// What it permits, comma-separated, for example fleet:read,rollout:write.
    #[arg(long, value_name = "LIST", value_delimiter = ',', required = true)]
    pub(crate) permissions: Vec<String>,
    /// What it is for.
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RoleDelete {
    /// Name of the role.
    #[arg(value_name = "ROLE")]
    pub(crate) role: String,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RoleAssignments {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RoleAssign {
    /// The role.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: String,
    /// Who gets it; node:ID for a node.
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// Why; stays on record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct RoleUnassign {
    /// The role.
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: String,
    /// Who loses it.
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// Also when nobody could manage roles any more.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TokenCreate {
    /// As whom its holder acts; node:ID for a node.
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: String,
    /// How long it counts: 12h, 30d, or seconds [default: until it is revoked].
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) ttl: Option<u64>,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TokenList {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TokenRevoke {
    /// Id of the token, as `rbac token list` shows it.
    #[arg(value_name = "TOKEN_ID")]
    pub(crate) id: String,
    /// Also when nobody could manage roles any more.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

impl Rbac {
    pub(super) fn output(&self) -> Output {
        let control = match self {
            Self::Role(Role::List(args)) => &args.control,
            Self::Role(Role::Create(args)) => &args.control,
            Self::Role(Role::Delete(args)) => &args.control,
            Self::Role(Role::Assignments(args)) => &args.control,
            Self::Role(Role::Assign(args)) => &args.control,
            Self::Role(Role::Unassign(args)) => &args.control,
            Self::Token(Token::Create(args)) => &args.control,
            Self::Token(Token::List(args)) => &args.control,
            Self::Token(Token::Revoke(args)) => &args.control,
            Self::Whoami(args) => &args.control,
        };
        control.format()
    }
}
