//! Where the time of a call goes, as the runtime has measured it.

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A part of a call that the runtime measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The policy.
    Decide,
    /// From an entry to its receipt: twice for a call that was allowed.
    Persist,
    /// The tool.
    Tool,
}

impl Part {
    const fn metric(self) -> &'static str {
        match self {
            Self::Decide => "autonomy_eval_seconds",
            Self::Persist => "autonomy_persist_seconds",
            Self::Tool => "autonomy_tool_seconds",
        }
    }
}

/// Mean of a part in microseconds, over all calls so far.
pub(crate) fn mean_us(port: u16, of_part: Part) -> Result<f64> {
    let text = metrics(port)?;
    let of = |suffix: &str| value(&text, &format!("{}_{suffix}", of_part.metric()));
    Ok(of("sum")? / of("count")? * 1e6)
}

fn value(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|it| it.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("{name} in the metrics"))?.parse()?)
}

fn metrics(port: u16) -> Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request =
            format!("GET /metrics HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_whole_name() {
        let text = "autonomy_x_sum_more 1\nautonomy_x_sum 2.5\n";
        assert!((value(text, "autonomy_x_sum").unwrap() - 2.5).abs() < 1e-9);
        assert!(value(text, "autonomy_x").is_err());
    }
}
