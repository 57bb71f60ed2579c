//! `kubectl rollout history`.

use crate::context::Context;
use crate::describe::pod_template;
use crate::error::{Error, Result};
use crate::print::Format;
use crate::resources::{Wanted, for_each};
use crate::text::Columns;

use super::past;

pub async fn run(cx: Context) -> Result {
    let revision = cx.flags.int("revision");
    if revision < 0 {
        return Err(Error::said(format!("revision must be a positive integer: {revision}")));
    }
    if Wanted::of(&cx).is_empty() {
        return Err(Error::said("required resource not specified"));
    }
    let format = Format::of(&cx)?;
    if !matches!(format, Format::Plain) {
        return structured(&cx, revision, format).await;
    }
    let cx = &cx;
    for_each(cx, &Wanted::of(cx).latest(), async |info| {
        let past = past(cx, &info).await?;
        let told = info.told();
        if revision > 0 {
            let found = past.iter().find(|past| past.revision == revision);
            let found = found.ok_or_else(|| Error::said("unable to find the specified revision"))?;
            let cause = if found.cause.is_empty() {
                String::new()
            } else {
                format!("  Annotations:\tkubernetes.io/change-cause: {}\n", found.cause)
            };
            crate::say(&format!(
                "{told} with revision #{revision}\nPod Template:\n{}{cause}\n",
                pod_template(&found.template)
            ));
            return Ok(());
        }
        let mut rows = vec![vec!["REVISION".to_owned(), "CHANGE-CAUSE".to_owned()]];
        for past in past {
            let cause = if past.cause.is_empty() { "<none>".to_owned() } else { past.cause };
            rows.push(vec![past.revision.to_string(), cause]);
        }
        crate::say(&format!("{told} \n{}\n", Columns { least: 6, gap: 2 }.lay_out(&rows)));
        Ok(())
    })
    .await?;
    Ok(())
}

async fn structured(cx: &Context, revision: i64, format: Format) -> Result {
    let mut printer = crate::print::Printer::new(cx, format);
    for_each(cx, &Wanted::of(cx).latest(), async |info| {
        let past = past(cx, &info).await?;
        let found = past.iter().rev().find(|past| revision == 0 || past.revision == revision);
        let found = found.ok_or_else(|| Error::said("unable to find the specified revision"))?;
        let mut object = info.object.clone();
        object["spec"]["template"] = found.template.clone();
        printer.print(&object)
    })
    .await?;
    Ok(())
}
