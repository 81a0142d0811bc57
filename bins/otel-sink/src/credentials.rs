//! What the control plane is shown, and whom the connection to it trusts: from the environment.

use std::{fmt, io, path::Path};

use api::{env, token::Token};
use vfs::{OsVfs, read_whole};

/// What the control plane is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    pub(crate) token: Option<Token>,
    pub(crate) tls: Option<tls::Material>,
}

/// Credentials that cannot be used: what is wrong, and what to do next.
pub(crate) type Unusable = (String, &'static str);

impl Credentials {
    /// Reads what the variables name.
    pub(crate) fn read(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, Unusable> {
        let path = |name: &str| var(name).map(Into::into);
        let files = tls::Files {
            authorities: path(env::CA_FILE),
            certificate: path(env::CLIENT_CERTIFICATE),
            key: path(env::CLIENT_KEY),
        };
        let token = var(env::TOKEN).map(|it| Token::new(&it)).transpose();
        let token = token.map_err(|error| unusable(error.code(), &error, error.hint()))?;
        let hint = "AUTONOMY_CA_FILE, AUTONOMY_CLIENT_CERTIFICATE and AUTONOMY_CLIENT_KEY name files in PEM";
        let tls = files.read(&read).map_err(|error| unusable("BAD_CERTIFICATE", &error, hint))?;
        Ok(Self { token, tls })
    }
}

fn unusable(code: &str, error: &dyn fmt::Display, hint: &'static str) -> Unusable {
    (format!("{code}: {error}"), hint)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_whole(&OsVfs, path, tls::PEM_LEN_MAX)?.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused_and_a_token_is_not_shown() {
        let with = |vars: &[(&str, &str)]| {
            let vars: Vec<_> = vars.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect();
            Credentials::read(&move |name: &str| {
                vars.iter().find(|it| it.0 == name).map(|it| it.1.clone())
            })
        };
        let none = with(&[]).unwrap();
        assert!(none.token.is_none() && none.tls.is_none());
        assert!(with(&[(env::TOKEN, "SECRET")]).unwrap().token.is_some());
        let (text, _) = with(&[(env::TOKEN, "SEC RET")]).unwrap_err();
        assert!(text.starts_with("BAD_ENVIRONMENT") && !text.contains("SEC RET"), "{text}");
        for name in [env::CA_FILE, env::CLIENT_CERTIFICATE, env::CLIENT_KEY] {
            let (text, _) = with(&[(name, "/does/not/exist.pem")]).unwrap_err();
            assert!(text.starts_with("BAD_CERTIFICATE"), "{text}");
        }
    }
}
