//! Many links deleted at once.
//!
//! To delete a link, the kernel waits several times until no processor uses it any more, which takes
//! some ten milliseconds under the lock that all changes of links need. For all links of a *group*
//! (`ip link set DEVICE group NUMBER`) it waits as often as for one. So links that are to go are put
//! into a group of their own first.

use std::{collections::BTreeSet, fs::File, io::Read};

use futures_util::{StreamExt, stream};
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage},
};
use rustix::io::Errno;

use crate::{
    error::{Context, Error, is_missing},
    link::LinkRef,
    netlink::Netlink,
};

/// Links deleted under one lock: a quarter of a second of it at most.
const GROUP_LINKS_MAX: usize = 256;

/// Requests on their way to the kernel at once.
const IN_FLIGHT_MAX: usize = 32;

/// Tries to find a group that nobody has.
const TRIES: usize = 8;

impl Netlink {
    /// Deletes links by their indices, and their peers. What is not there is deleted already.
    ///
    /// # Errors
    /// What the kernel refused; links may be left then.
    pub async fn delete_links(&self, links: &[u32]) -> Result<(), Error> {
        for links in links.chunks(GROUP_LINKS_MAX) {
            // A group of one gains nothing.
            if links.len() > 1 && self.delete_grouped(links).await.is_ok() {
                continue;
            }
            for &link in links {
                self.delete_link(link).await?;
            }
        }
        Ok(())
    }

    async fn delete_grouped(&self, links: &[u32]) -> Result<(), Error> {
        let group = self.free_group().await?;
        let mut set = stream::iter(links.to_vec())
            .map(|link| self.set_group(link, group))
            .buffer_unordered(IN_FLIGHT_MAX);
        while let Some(set) = set.next().await {
            set?;
        }
        // A name that is free could be given away before the request is read, a group that was free
        // as well; so it is looked at once more who has it.
        let wanted: BTreeSet<u32> = links.iter().copied().collect();
        let members = self.group_members(group).await?;
        if !members.is_subset(&wanted) {
            return Err(Error::new(group_text(group), "have it alone", Errno::BUSY));
        }
        if members.is_empty() {
            return Ok(());
        }
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        let deleted = self.change(RouteNetlinkMessage::DelLink(message), 0);
        deleted.await.context(group_text(group), "delete its links")
    }

    async fn set_group(&self, link: u32, group: u32) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.attributes.push(LinkAttribute::Group(group));
        match self.change(RouteNetlinkMessage::NewLink(message), 0).await {
            Err(error) if !is_missing(&error) => {
                Err(error).context(LinkRef::Index(link), "put it into a group")
            }
            _ => Ok(()),
        }
    }

    /// The number of a group that no link is in, drawn by chance.
    async fn free_group(&self) -> Result<u32, Error> {
        for _ in 0..TRIES {
            let mut bytes = [0; 4];
            File::open("/dev/urandom")
                .and_then(|mut random| random.read_exact(&mut bytes))
                .context("/dev/urandom", "read it")?;
            // Those that people give, and zero, which all links are in at first, are small.
            let group = u32::from_ne_bytes(bytes) | 1 << 31;
            if self.group_members(group).await?.is_empty() {
                return Ok(group);
            }
        }
        Err(Error::new(
            "groups of links",
            "find one that is free",
            Errno::BUSY,
        ))
    }

    async fn group_members(&self, group: u32) -> Result<BTreeSet<u32>, Error> {
        let all = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()));
        let all = all.await.context("links", "list them")?;
        let of_group = LinkAttribute::Group(group);
        let members = all.into_iter().filter_map(|reply| match reply {
            RouteNetlinkMessage::NewLink(link) => Some(link),
            _ => None,
        });
        Ok(members
            .filter(|link| link.attributes.contains(&of_group))
            .map(|link| link.header.index)
            .collect())
    }
}

fn group_text(group: u32) -> String {
    format!("group {group:#x} of links")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fixture::{VethPair, link_name, require_root},
        link::VethEnd,
    };

    #[tokio::test]
    async fn all_of_a_list_go_and_no_others() {
        require_root!();
        let pair = VethPair::new().await;
        let netlink = pair.a.netlink();
        let mut doomed = Vec::new();
        for number in 0..5 {
            let near = VethEnd::new(link_name(&format!("near{number}")));
            let far = VethEnd {
                namespace: Some(&pair.b.namespace),
                ..VethEnd::new(link_name(&format!("far{number}")))
            };
            netlink.create_veth(&near, &far).await.unwrap();
            doomed.push(netlink.link_index(&near.name).await.unwrap());
        }
        let kept = doomed.pop().unwrap();
        // One that is gone already keeps the others from nothing.
        netlink.delete_link(doomed[0]).await.unwrap();
        netlink.delete_links(&doomed).await.unwrap();
        let left: BTreeSet<u32> = netlink
            .links()
            .await
            .unwrap()
            .iter()
            .map(|link| link.index)
            .collect();
        assert!(
            left.contains(&kept) && left.contains(&pair.a_index),
            "{left:?}"
        );
        assert!(doomed.iter().all(|link| !left.contains(link)), "{left:?}");
        assert!(
            pair.b
                .netlink()
                .link(&link_name("far1"))
                .await
                .unwrap()
                .is_none()
        );
        netlink.delete_links(&doomed).await.unwrap();
        netlink.delete_links(&[]).await.unwrap();
    }
}
