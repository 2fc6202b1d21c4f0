//! Pure: names of organizations and of teams in them, as records, files and policies have them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name, in bytes.
const LONGEST: usize = 40;

/// A team by its name, `ORGANIZATION/TEAM`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Team {
    organization: String,
    team: String,
}

impl Team {
    /// Name of its organization.
    #[must_use]
    pub fn organization(&self) -> &str {
        &self.organization
    }

    /// Its name within its organization.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.team
    }
}

/// Whether a text can name an organization or a team: names become names of files.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(good) && !text.starts_with('-')
}

impl FromStr for Team {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        match parts.filter(|(organization, team)| is_name(organization) && is_name(team)) {
            Some((organization, team)) => Ok(Self {
                organization: organization.to_owned(),
                team: team.to_owned(),
            }),
            None => Err(format!(
                "`{text}` names no team: write ORGANIZATION/TEAM, each of at most {LONGEST} of a-z, 0-9 and -"
            )),
        }
    }
}

impl TryFrom<String> for Team {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Team> for String {
    fn from(team: Team) -> Self {
        team.to_string()
    }
}

impl fmt::Display for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.organization, self.team)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_folder() {
        for good in ["acme/line-3", "a/1"] {
            let team: Team = good.parse().expect("a team");
            assert_eq!(team.to_string(), good);
        }
        for bad in [
            "acme", "acme/", "/x", "../x", "a/../b", "a/b/c", "A/b", "a/-b", "a/b.toml",
        ] {
            assert!(bad.parse::<Team>().is_err(), "{bad}");
        }
    }
}
