//! Accounts are erased, in steps between all else.

use tutti_acceptance::{
    erasure::{EraseAccount, Erasure},
    storage::Result,
};

use crate::{app::App, clock::now};

/// Erases an account, and answers once nothing of it is left whether there was one.
pub(crate) async fn erase(app: &App, account: &str) -> Result<bool> {
    // Those who see it there are found by what it has for itself, and that goes.
    let contacts = app.storage.contacts(account).await?;
    let erase = EraseAccount { account: account.to_owned(), now: now() };
    let mut erasure = app.writer.write(erase.clone()).await?;
    if erasure == Erasure::Unknown {
        return Ok(false);
    }
    app.statuses.forget(account, &contacts).await;
    while erasure != Erasure::Done {
        erasure = app.writer.write(erase.clone()).await?;
    }
    app.writer.scrubbed().await?;
    Ok(true)
}

/// Goes on with what was interrupted.
pub(crate) async fn resume(app: &App) -> Result<()> {
    for account in app.storage.erasing().await? {
        if let Err(error) = erase(app, &account).await {
            tracing::warn!(%error, "an account that was erased is not gone yet");
        }
    }
    Ok(())
}
