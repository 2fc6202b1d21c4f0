//! `redhold doctor`.
//!
//! Exits with 0 when instances can run here, in whatever lesser mode, and with 3 when they cannot at all.

use clap::Args;
use runtime::sandbox::probe::{Feature, Host, State, Subject};
use runtime::spec::Isolation;
use serde_json::json;

use crate::cli::Global;
use crate::cli::output::{Output, Style, harmless};
use crate::gate::{Condition, conditions};
use crate::paths;
use crate::problem::{Code, Problem};

/// What this machine offers, what is missing, what that costs, and the command that mends it
#[derive(Debug, Args)]
pub struct Doctor {}

/// Runs the command.
///
/// # Errors
/// When instances cannot run on this machine, naming what stands in the way.
pub fn run(_command: &Doctor, global: &Global, output: &Output) -> Result<(), Problem> {
    let data_dir = paths::data_dir(global.data_dir.as_deref())?;
    let executable = std::env::current_exe().map_err(|error| {
        Problem::new(
            Code::Host,
            "this program cannot find itself to try things in a child",
        )
        .because(error)
    })?;
    let host = Host::look(&executable, &data_dir);
    // Of the host that runs here, which for root has another data directory than what root does by hand.
    let vetting = conditions(&paths::host_data_dir(global.data_dir.as_deref())?);
    let verdict = verdict(&host);
    if output.json() {
        let names = |features: Vec<&Feature>| -> Vec<String> {
            features.into_iter().map(|feature| feature.name.clone()).collect()
        };
        output.document(&json!({
            "instances": {
                "possible": verdict.is_ok(),
                "isolation": host.isolation().ok(),
                "obstacles": names(host.obstacles()),
            },
            "kernel": host.kernel,
            "uid": host.uid,
            "features": host.features,
            "vetting": vetting,
        }));
    } else {
        table(&host, output);
        vetted(&vetting, output);
    }
    match verdict {
        Ok(summary) => {
            if !output.json() {
                output.line(&summary);
            }
            Ok(())
        }
        Err(problem) => Err(problem.reported()),
    }
}

fn table(host: &Host, output: &Output) {
    let account = match host.uid {
        0 => "root".to_owned(),
        uid => format!("uid {uid}, not root"),
    };
    output.line(&output.paint(Style::Bold, &format!("Linux {}, asked as {account}", host.kernel)));
    let width = host
        .features
        .iter()
        .map(|feature| feature.name.len())
        .max()
        .unwrap_or(0);
    let mut subject = None;
    let mut last_mend = None;
    for feature in &host.features {
        if subject != Some(feature.subject) {
            subject = Some(feature.subject);
            output.line("");
            output.line(&output.paint(Style::Bold, heading(feature.subject)));
        }
        let mark = match feature.state {
            State::Offered => output.paint(Style::Green, "ok     "),
            State::Partial => output.paint(Style::Yellow, "partial"),
            State::Missing => output.paint(Style::Red, "missing"),
        };
        output.line(&format!("  {mark}  {:width$}  {}", feature.name, feature.detail));
        let indent = " ".repeat(width + 13);
        if let Some(costs) = &feature.costs {
            output.line(&format!("{indent}{} {costs}", output.paint(Style::Dim, "costs:")));
        }
        if let Some(mend) = &feature.mend {
            let command = match last_mend == Some(mend) {
                true => "the same".to_owned(),
                false => output.paint(Style::Cyan, mend),
            };
            output.line(&format!(
                "{indent}{} {command}",
                output.paint(Style::Dim, "mend: ")
            ));
            last_mend = Some(mend);
        }
    }
    output.line("");
}

fn vetted(all: &[Condition], output: &Output) {
    output.line(&output.paint(Style::Bold, "Vetting: what keeps packages from doing harm"));
    let width = all.iter().map(|one| one.name.len()).max().unwrap_or(0);
    for Condition {
        name,
        well,
        detail,
        mend,
    } in all
    {
        let mark = match well {
            true => output.paint(Style::Green, "ok     "),
            false => output.paint(Style::Yellow, "look   "),
        };
        let indent = " ".repeat(width + 13);
        let detail = detail.lines().map(harmless).collect::<Vec<_>>();
        let detail = detail.join(&format!("\n{indent}"));
        output.line(&format!("  {mark}  {name:width$}  {detail}"));
        if let Some(mend) = mend {
            output.line(&format!(
                "{indent}{} {}",
                output.paint(Style::Dim, "mend: "),
                output.paint(Style::Cyan, mend)
            ));
        }
    }
    output.line("");
}

const fn heading(subject: Subject) -> &'static str {
    match subject {
        Subject::Walls => "Walls: what keeps an instance from the host's files and processes",
        Subject::Limits => "Limits: what keeps an instance from using up the host",
        Subject::Network => "Network",
        Subject::Programs => "What Node.js needs",
        Subject::Machine => "Machine",
    }
}

/// One sentence, or the problem.
fn verdict(host: &Host) -> Result<String, Problem> {
    let obstacles = host.obstacles();
    if !obstacles.is_empty() {
        let names: Vec<&str> = obstacles.iter().map(|feature| feature.name.as_str()).collect();
        let problem = Problem::new(
            Code::Host,
            format!(
                "instances cannot run on this machine: it lacks {}",
                names.join(", ")
            ),
        );
        let mend = obstacles.iter().find_map(|feature| feature.mend.as_deref());
        return Err(match mend {
            Some(command) => problem.hint(command),
            None => problem,
        });
    }
    let walls = match host.isolation() {
        Ok(Isolation::Namespaces) => "in namespaces of their own",
        _ => "in the lesser mode, behind Landlock only",
    };
    Ok(match host.lesser().count() {
        0 => format!("Instances run here {walls}; nothing is missing."),
        1 => format!("Instances run here {walls}; one thing is weaker than it could be."),
        count => format!("Instances run here {walls}; {count} things are weaker than they could be."),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(name: &str, state: State) -> Feature {
        Feature {
            subject: Subject::Walls,
            name: name.to_owned(),
            state,
            detail: String::new(),
            costs: None,
            mend: (name == "disk").then(|| "rm -r".to_owned()),
        }
    }

    #[test]
    fn the_verdict_names_what_stands_in_the_way() {
        let host = |disk| Host {
            features: vec![feature("landlock", State::Partial), feature("disk", disk)],
            ..Host::default()
        };
        assert_eq!(
            verdict(&host(State::Offered)).unwrap(),
            "Instances run here in namespaces of their own; one thing is weaker than it could be."
        );
        let problem = verdict(&host(State::Missing)).unwrap_err();
        assert_eq!(problem.code(), Code::Host);
        assert_eq!(
            problem.to_string(),
            "instances cannot run on this machine: it lacks disk"
        );
        assert_eq!(problem.advice(), Some("rm -r"));
    }
}
