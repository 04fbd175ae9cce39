//! What is checked once, when a backend is built: whether the servers know the requests of the locks.
//!
//! No request here changes anything. Servers answer an unknown request with "unimplemented", or drop the connection. A
//! bad network drops connections, too, so a request that met this is sent again, alone.

use super::abilities::Ability;
use super::requests::Session;
use crate::backend::zookeeper::failure::classify;
use crate::backend::zookeeper::recipe::Recipe;
use crate::error::{ErrorKind, LockError};
use futures_util::future::join_all;
use zookeeper::Error;

/// What an answer says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Yes,
    No,
    /// The connection was lost, for whatever reason.
    Unclear,
}

fn known(answer: &Result<(), Error>) -> Known {
    match answer {
        // ZooKeeper 3.4 answers an unknown kind of write in a transaction like this.
        Err(Error::Unimplemented | Error::BadArguments(_) | Error::MarshallingError) => Known::No,
        Err(
            Error::ConnectionLoss
            | Error::Custom(_)
            | Error::Timeout
            | Error::UnexpectedError(_)
            | Error::UnexpectedErrorCode(_),
        ) => Known::Unclear,
        _ => Known::Yes,
    }
}

/// Without these a recipe cannot be.
fn needs(recipe: Recipe) -> &'static [Ability] {
    match recipe {
        Recipe::Sequential => &[Ability::Sync, Ability::Transaction, Ability::WatchRemoval],
        Recipe::Simple => &[Ability::Sync, Ability::Create, Ability::WatchRemoval],
    }
}

/// Checks for the requests that the recipe needs, and for those that it can do without.
///
/// # Errors
/// [`ErrorKind::Unsupported`] if the servers lack what the recipe needs, [`ErrorKind::Auth`] if they take no node with the
/// access list of this client, and the error of a session that ended.
pub(crate) async fn check(session: &Session, recipe: Recipe, containers: bool) -> Result<(), LockError> {
    let spared = [Some(Ability::ListOfEphemerals), containers.then_some(Ability::Container)];
    let wanted: Vec<_> = needs(recipe).iter().copied().chain(spared.into_iter().flatten()).collect();
    let answers = join_all(wanted.iter().map(|ability| session.try_out(*ability))).await;
    let mut lacking = Vec::new();
    for (ability, answer) in wanted.into_iter().zip(answers) {
        if let Err(cause @ Error::InvalidAcl) = answer {
            return Err(classify(cause));
        }
        if !is_known(session, ability, &answer).await? {
            lacking.push(ability);
        }
    }
    if let Some(lack) = needs(recipe).iter().find(|need| lacking.contains(need)) {
        let can_be_simple = *lack == Ability::Transaction
            && is_known(session, Ability::Create, &session.try_out(Ability::Create).await).await?;
        return Err(unsupported(*lack, can_be_simple));
    }
    lacking.into_iter().for_each(|ability| spare(session, ability));
    Ok(())
}

/// Whether the server knows a request with this answer. If that is unclear, the request is tried again, alone.
async fn is_known(session: &Session, ability: Ability, first: &Result<(), Error>) -> Result<bool, LockError> {
    let mut answer = known(first);
    for _ in 0..TRIES {
        if answer != Known::Unclear {
            break;
        }
        session.settled().await;
        if session.is_over() {
            return Err(classify(Error::ConnectionLoss));
        }
        answer = known(&session.try_out(ability).await);
    }
    Ok(answer == Known::Yes)
}

/// How often a request loses its connection before that counts as an answer.
const TRIES: usize = 2;

fn spare(session: &Session, ability: Ability) {
    match ability {
        Ability::Container => {
            session.abilities().lacks_containers();
            tracing::warn!(
                backend = "zookeeper",
                "the servers have no container nodes, so the directories of unused keys stay; remove them \
                 from time to time"
            );
        }
        _ => {
            session.abilities().lacks_lists_of_ephemerals();
            tracing::warn!(
                backend = "zookeeper",
                "the servers do not list a session's nodes (ZooKeeper 3.6 does), so a guard does not learn that its node \
                 was removed by hand"
            );
        }
    }
}

fn unsupported(lack: Ability, can_be_simple: bool) -> LockError {
    let detail = match (lack, can_be_simple) {
        (Ability::Sync, _) => {
            "the servers do not know `sync`, by which a session is confirmed; no recipe can do without it, use \
             ZooKeeper 3.5 or newer"
        }
        (Ability::WatchRemoval, _) => {
            "the servers do not know `removeWatches`, by which a waiter that gives up is forgotten; use ZooKeeper 3.5 or \
             newer"
        }
        (_, true) => {
            "the servers make no nodes with `create2` in a transaction; use Recipe::Simple, or ZooKeeper 3.5 or newer"
        }
        (_, false) => {
            "the servers do not know `create2`, which says what a fencing token is made of; use ZooKeeper 3.5 or newer"
        }
    };
    LockError::new(ErrorKind::Unsupported, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_lost_connection() {
        assert_eq!(known(&Ok(())), Known::Yes);
        assert_eq!(known(&Err(Error::NoNode)), Known::Yes);
        assert_eq!(known(&Err(Error::InvalidAcl)), Known::Yes);
        assert_eq!(known(&Err(Error::Unimplemented)), Known::No);
        assert_eq!(known(&Err(Error::MarshallingError)), Known::No);
        assert_eq!(known(&Err(Error::BadArguments(&"of the server"))), Known::No);
        assert_eq!(known(&Err(Error::ConnectionLoss)), Known::Unclear);
        assert_eq!(known(&Err(Error::Timeout)), Known::Unclear);
    }

    #[test]
    fn the_remedy_is_a_recipe_where_there_is_one() {
        let text = |lack, can_be_simple| unsupported(lack, can_be_simple).to_string();
        assert!(text(Ability::Transaction, true).contains("Recipe::Simple"));
        assert!(!text(Ability::Transaction, false).contains("Recipe::Simple"));
        assert!(text(Ability::Sync, false).contains("`sync`"));
        assert!(text(Ability::WatchRemoval, false).contains("`removeWatches`"));
        for recipe in [Recipe::Sequential, Recipe::Simple] {
            assert!(needs(recipe).contains(&Ability::Sync));
        }
    }
}
