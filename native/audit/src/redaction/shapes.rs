//! Keys and tokens recognisable by their form, wherever they stand.

use super::Spans;

/// Prefixes, and the least number of token characters that follow.
const BEGINNINGS: [(&str, usize); 78] = [
    ("AKIA", 16),
    ("ASIA", 16),
    ("ABIA", 16),
    ("ACCA", 16),
    ("AIza", 35),
    ("ya29.", 20),
    ("GOCSPX-", 28),
    ("dop_v1_", 40),
    ("doo_v1_", 40),
    ("dor_v1_", 40),
    ("hvs.", 24),
    ("hvb.", 24),
    ("hvr.", 24),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghu_", 30),
    ("ghs_", 30),
    ("ghr_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("gloas-", 20),
    ("gldt-", 20),
    ("glrt-", 20),
    ("glptt-", 20),
    ("glcbt-", 20),
    ("glsoat-", 20),
    ("glft-", 20),
    ("glimt-", 20),
    ("glagent-", 20),
    ("npm_", 30),
    ("pypi-AgE", 30),
    ("rubygems_", 40),
    ("cio", 32),
    ("oy2", 43),
    ("dckr_pat_", 20),
    ("PMAK-", 40),
    ("sk-", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("whsec_", 24),
    ("hf_", 30),
    ("gsk_", 40),
    ("r8_", 30),
    ("pplx-", 40),
    ("xai-", 40),
    ("AGE-SECRET-KEY-1", 50),
    ("eyJ", 40),
    ("xapp-", 40),
    ("xoxa-", 20),
    ("xoxb-", 20),
    ("xoxe-", 20),
    ("xoxe.", 20),
    ("xoxo-", 20),
    ("xoxp-", 20),
    ("xoxr-", 20),
    ("xoxs-", 20),
    ("SG.", 50),
    ("SK", 32),
    ("key-", 32),
    ("shpat_", 30),
    ("shpca_", 30),
    ("shppa_", 30),
    ("shpss_", 30),
    ("sq0atp-", 20),
    ("sq0csp-", 20),
    ("dapi", 32),
    ("lin_api_", 40),
    ("ntn_", 40),
    ("secret_", 40),
    ("figd_", 40),
    ("glsa_", 40),
    ("glsp_", 40),
    ("NRAK-", 27),
    ("sntrys_", 40),
    ("sntryu_", 40),
    ("ATATT3", 60),
];
/// Substrings; the secret includes what adjoins them on both sides.
const MARKS: [(&str, usize); 6] =
    [("T3BlbkFJ", 20), (".atlasv1.", 60), ("Q~", 31), (":AA", 33), ("dp.pt.", 40), ("dp.st.", 40)];
/// URLs whose path is the key.
const HOOKS: [&str; 4] = [
    "hooks.slack.com/services/",
    "hooks.slack.com/workflows/",
    "discord.com/api/webhooks/",
    "discordapp.com/api/webhooks/",
];
const KEY_BEGINS: &str = "-----BEGIN ";
const KEY_ENDS: &str = "-----END";

pub fn find(text: &str, spans: &mut Spans) {
    keys(text, spans);
    for hook in HOOKS {
        for (at, _) in text.match_indices(hook) {
            let start = at + hook.len();
            spans.push(start..start + run(&text[start..], |byte| is_of_token(byte) || byte == b'/'));
        }
    }
    for (mark, least) in MARKS {
        for (at, _) in text.match_indices(mark) {
            let behind = run(&text[at + mark.len()..], is_of_token);
            let before = text[..at].bytes().rev().take_while(|byte| is_of_token(*byte)).count();
            if behind >= least && before + mark.len() > 2 {
                spans.push(at - before..at + mark.len() + behind);
            }
        }
    }
    tokens(text, spans);
}

fn tokens(text: &str, spans: &mut Spans) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !is_of_token(bytes[at]) {
            at += 1;
            continue;
        }
        let length = run(&text[at..], is_of_token);
        let token = &text[at..at + length];
        if is_key(token) || is_three_parts(token) {
            spans.push(at..at + length);
        }
        at += length;
    }
}

fn is_key(token: &str) -> bool {
    BEGINNINGS.iter().any(|(beginning, least)| {
        token.strip_prefix(beginning).is_some_and(|rest| {
            rest.len() >= *least && rest.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        })
    })
}

/// Bot tokens: user, time, and signature.
fn is_three_parts(token: &str) -> bool {
    let parts: Vec<&str> = token.split('.').collect();
    matches!(parts[..], [who, when, what] if (24..=28).contains(&who.len()) && when.len() == 6 && (27..=40).contains(&what.len()))
}

/// From the line that announces a key to the one that ends it.
fn keys(text: &str, spans: &mut Spans) {
    for (at, _) in text.match_indices(KEY_BEGINS) {
        let Some(kind) = text[at..].find("PRIVATE KEY").filter(|kind| *kind < 48) else { continue };
        let start = at + kind + "PRIVATE KEY".len();
        let end = text[start..].find(KEY_ENDS).map_or(text.len(), |length| start + length);
        spans.push(start..end);
    }
    if let Some(at) = text.find("PuTTY-User-Key-File-") {
        spans.push(at..text.len());
    }
}

fn run(text: &str, of: fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| of(*byte)).count()
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~')
}
