//! Pieces of a page that needs nothing but itself: no script, no network, light and dark.

use crate::plot::PAGE_STYLE;
use crate::plot::canvas::escape;
use crate::plot::heat::{interval, shown};
use crate::stats::Estimate;
use std::fmt::Write;

const STYLE: &str = ":root{--page:#f6f7f9;--card:#fff;--ink:#1f2328;--soft:#59636e;--line:#e1e5ea;\
--yes:#0a6b4b;--no:#a83c00;--open:#59636e;color-scheme:light dark}\
@media(prefers-color-scheme:dark){:root{--page:#0e1116;--card:#171b21;--ink:#e6e9ed;\
--soft:#9aa4af;--line:#2b323b;--yes:#4cc38a;--no:#f08a4b;--open:#9aa4af}}\
body{font:15px/1.55 Ubuntu,system-ui,sans-serif;max-width:780px;margin:0 auto;padding:2em 1em 4em;\
color:var(--ink);background:var(--page)}h1{font-size:1.6em;line-height:1.25;margin:.2em 0}\
h2{font-size:1.15em;margin:2.2em 0 .6em}p{margin:.5em 0}.soft{color:var(--soft)}\
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px;\
margin:1em 0;overflow-x:auto}table{border-collapse:collapse;font-size:13.5px;width:100%}\
td,th{padding:.35em .7em .35em 0;text-align:right;vertical-align:top;border-bottom:1px solid \
var(--line);font-weight:400}th{color:var(--soft)}td:first-child,th:first-child{text-align:left}\
tr:last-child td{border-bottom:0}small{color:var(--soft);white-space:nowrap}\
.chip{display:inline-block;border-radius:99px;padding:.1em .75em;font-size:.92em;\
border:1.5px solid currentColor;white-space:nowrap}.holds{color:var(--yes)}.does-not-hold\
{color:var(--no)}.cannot-tell{color:var(--open)}.samples td{text-align:center;border:0;\
padding:.2em}.samples td:first-child{text-align:left;vertical-align:middle}\
.samples img{width:88px;max-width:88px;image-rendering:pixelated;border-radius:4px;\
display:block;margin:auto}";

/// Text as HTML text or attribute.
pub fn text(text: &str) -> String {
    escape(text)
}

/// A whole page.
pub fn whole(title: &str, body: &str) -> String {
    let title = text(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta \
         http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
         style-src 'unsafe-inline'\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}{PAGE_STYLE}</style></head><body>{body}</body>\
         </html>\n"
    )
}

/// A box.
pub fn card(inner: &str) -> String {
    format!("<div class=\"card\">{inner}</div>")
}

/// A table of cells that are HTML; the first column is left-aligned.
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let mut html = String::from("<table><tr>");
    // Writing to a string cannot fail.
    for name in head {
        let _ = write!(html, "<th>{name}</th>");
    }
    html += "</tr>";
    for row in rows {
        html += "<tr>";
        for cell in row {
            let _ = write!(html, "<td>{cell}</td>");
        }
        html += "</tr>";
    }
    html + "</table>"
}

/// A number over its interval.
pub fn estimate(of: Option<Estimate>, signed: bool) -> String {
    match of {
        Some(of) => {
            let (value, interval) = (text(&shown(&of, signed)), text(&interval(&of)));
            format!("{value}<br><small>{interval}</small>")
        }
        None => "\u{2013}".into(),
    }
}
