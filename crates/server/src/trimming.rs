//! What is older than the server is to keep goes, in small steps between all else, and so does what is left of accounts
//! whose erasure was interrupted.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tutti_acceptance::{
    devices::TrimTokens,
    history::Trim,
    storage::{AccountKey, Result},
};

use crate::{app::App, clock::now, erasing};

/// How long after one pass through all accounts the next begins.
const PAUSE: Duration = Duration::from_secs(60 * 60);

/// Trims until the server ends, and at once when it is to keep less.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        if let Err(error) = app.shutdown.run_until_cancelled(pass(&app)).await.unwrap_or(Ok(())) {
            tracing::warn!(%error, "what is too old is still there");
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = sleep(PAUSE) => {}
            () = app.settings.changed() => {}
        }
    }
}

/// Goes through all accounts once, and then through the tokens.
async fn pass(app: &App) -> Result<()> {
    erasing::resume(app).await?;
    let before = app.settings.get().kept_since(now());
    let mut next = Some(AccountKey(-1));
    while let Some(after) = next {
        next = app.writer.write(Trim { after, before }).await?.next;
    }
    while app.writer.write(TrimTokens { now: now() }).await? {}
    Ok(())
}
