//! `apply`.

use host::api::ApplyResult;
use model::{Change, Code, Diagnostic, Severity};
use serde_json::{Value, json};

use crate::agent::{Agent, Prepared, Reply};
use crate::run::{run_on_terminal, run_with_input, write};
use crate::{assert_snapshot, samples};

fn changes() -> Vec<Change> {
    vec![
        Change {
            path: "guests.web-2".to_owned(),
            before: None,
            after: Some(json!({"kind": "netns"})),
        },
        Change {
            path: "guests.old".to_owned(),
            before: Some(json!("tap")),
            after: None,
        },
        Change {
            path: "nsgs.web.rules.https.priority".to_owned(),
            before: Some(json!(100)),
            after: Some(json!(200)),
        },
    ]
}

fn finding(severity: Severity) -> Diagnostic {
    Diagnostic {
        severity,
        code: Code::UnknownKey,
        path: "nmae".to_owned(),
        line: 1,
        column: 1,
        message: "unknown key `nmae`".to_owned(),
        help: Some("did you mean `name`?".to_owned()),
        excerpt: "nmae: shop".to_owned(),
        excerpt_column: 0,
        excerpt_width: 4,
    }
}

fn agent(changes: Vec<Change>, problems: &'static [&'static str]) -> Agent {
    let answer = move |body: &Value| {
        let dry_run = body["dryRun"] == json!(true);
        let problems = if dry_run { &[][..] } else { problems };
        Reply::json(&ApplyResult {
            applied: !dry_run,
            changes: changes.clone(),
            warnings: if dry_run {
                vec![finding(Severity::Warning)]
            } else {
                Vec::new()
            },
            problems: problems.iter().map(|&text| text.to_owned()).collect(),
            generation: 8,
        })
    };
    Prepared::default().on("POST /v1/apply", answer).start()
}

fn topology(agent: &Agent) -> String {
    write(agent.folder(), "shop.yaml", samples::TOPOLOGY)
}

fn dry_runs(agent: &Agent) -> Vec<bool> {
    agent
        .asked()
        .iter()
        .map(|(_, body)| body["dryRun"] == json!(true))
        .collect()
}

#[test]
fn shows_the_difference_and_applies_it() {
    let agent = agent(changes(), &[]);
    let file = topology(&agent);
    let ran = agent.run(["apply", &file, "--yes", "--reevaluate"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_snapshot("table_apply", &ran.stdout);
    assert!(ran.stderr.contains("warning[unknown-key]"), "{ran:?}");
    assert_eq!(dry_runs(&agent), [true, false]);
    let expected = json!({
        "source": samples::TOPOLOGY, "fileName": file, "dryRun": false, "reevaluate": true,
    });
    assert_eq!(agent.asked()[1].1, expected);
}

#[test]
fn a_dry_run_applies_nothing() {
    let agent = agent(changes(), &[]);
    let ran = agent.run(["apply", &topology(&agent), "--dry-run", "--output", "json"]);
    assert_eq!((ran.code, &ran.json()["applied"]), (Some(0), &json!(false)));
    assert_eq!(dry_runs(&agent), [true]);
}

#[test]
fn json_is_the_answer_to_what_was_done() {
    let agent = agent(changes(), &[]);
    let ran = agent.run(["apply", &topology(&agent), "--yes", "-o", "json"]);
    assert_eq!((ran.code, &ran.json()["applied"]), (Some(0), &json!(true)));
}

#[test]
fn without_a_difference_nothing_is_asked_or_applied() {
    let agent = agent(Vec::new(), &[]);
    let file = topology(&agent);
    let ran = agent.run(["apply", &file]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(0), "No changes."));
    assert_eq!(dry_runs(&agent), [true]);
    // Re-evaluation changes connections, not the topology.
    let ran = agent.run(["apply", &file, "--yes", "--reevaluate"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(dry_runs(&agent), [true, true, false]);
}

#[test]
fn where_nobody_can_be_asked_a_change_needs_yes() {
    let agent = agent(changes(), &[]);
    let ran = agent.run(["apply", &topology(&agent)]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("--yes"), "{ran:?}");
    assert_eq!(dry_runs(&agent), [true]);
}

#[test]
fn on_a_terminal_it_asks() {
    for (reply, code, runs) in [
        ("y\n", 0, &[true, false][..]),
        ("n\n", 1, &[true]),
        ("\n", 1, &[true]),
    ] {
        let agent = agent(changes(), &[]);
        let command = agent.clearway(["apply", &topology(&agent)]);
        let ran = run_on_terminal(&command, reply);
        assert!(ran.stdout.contains("Apply this? [y/N]"), "{ran:?}");
        assert_eq!(
            (ran.code, dry_runs(&agent)),
            (Some(code), runs.to_vec()),
            "{ran:?}"
        );
    }
}

#[test]
fn standard_input_is_a_topology_too() {
    let agent = agent(changes(), &[]);
    let mut command = agent.clearway(["apply", "-", "--yes"]);
    let ran = run_with_input(&mut command, samples::TOPOLOGY);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(agent.asked()[1].1["source"], json!(samples::TOPOLOGY));
    assert_eq!(agent.asked()[1].1["fileName"], json!("<stdin>"));
}

#[test]
fn nics_that_could_not_be_made_are_a_failure() {
    let agent = agent(changes(), &["web-2/eth0: no such namespace"]);
    let ran = agent.run(["apply", &topology(&agent), "--yes"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stderr
            .contains("problem: web-2/eth0: no such namespace"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("generation 8 is in force"), "{ran:?}");
}

#[test]
fn a_topology_that_is_refused_ends_with_3() {
    let refuse = |_: &_| {
        let details = vec![finding(Severity::Error)];
        Reply::error_with(
            422,
            "InvalidTopology",
            "topology does not validate: 1 error",
            details,
        )
    };
    let agent = Prepared::default().on("POST /v1/apply", refuse).start();
    let file = topology(&agent);
    let ran = agent.run(["apply", &file, "--yes"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(3), ""));
    let shown = ran.stderr.replace(&file, "shop.yaml");
    assert_snapshot("stderr_apply_refused", &shown);

    let ran = agent.run(["apply", &file, "--yes", "-o", "json"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(
        ran.error_json()["error"]["details"][0]["code"],
        json!("unknown-key")
    );
}
