use std::cmp::Reverse;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::error::{CompileError, Counted};
use crate::input::{NextHop, RouteInput, RouteSource, RouteTableInput};
use crate::intervals::{CUTS_MAX, Line, Point, Range, range_v4, range_v6};
use crate::limits::Limits;

/// A route, as it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRef<'a> {
    /// The name of its route table.
    pub table: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its destinations.
    pub prefix: IpNet,
    /// Where it comes from.
    pub source: RouteSource,
    /// Where it leads.
    pub next_hop: NextHop,
}

/// The routes that match a destination too, but lost: best first. Those of the chosen route's
/// prefix lost by their source, the others by the length of their prefix.
#[derive(Clone, Debug)]
pub struct Overridden<'a> {
    table: &'a RouteTable,
    /// What is left of the current prefix.
    same_prefix: &'a [u32],
    /// The next shorter prefix.
    shorter: Option<&'a PrefixRoutes>,
}

impl<'a> Iterator for Overridden<'a> {
    type Item = RouteRef<'a>;

    fn next(&mut self) -> Option<RouteRef<'a>> {
        if let Some((&route, rest)) = self.same_prefix.split_first() {
            self.same_prefix = rest;
            return Some(self.table.route(route));
        }
        let prefix = self.shorter?;
        self.same_prefix = self.table.others_of(prefix);
        self.shorter = self.table.prefix(prefix.parent);
        Some(self.table.route(prefix.best))
    }
}

/// A compiled route table: per family a line of intervals, each with the longest prefix that
/// covers it, and for every prefix its routes and the next shorter prefix around it.
#[derive(Debug)]
pub(crate) struct RouteTable {
    /// What it was compiled from, which has the routes.
    source: Arc<RouteTableInput>,
    v4: <u32 as Point>::Line,
    v6: <u128 as Point>::Line,
    prefixes: Box<[PrefixRoutes]>,
    /// Indices of routes that are not the best of their prefix: prefix by prefix, best first.
    routes: Box<[u32]>,
}

/// The routes of one prefix.
#[derive(Clone, Copy, Debug)]
struct PrefixRoutes {
    /// Where the best of them leads: apart from the rest, so that a lookup which nobody watches
    /// touches no route.
    next_hop: NextHop,
    /// The best of them.
    best: u32,
    /// The others.
    first: u32,
    count: u32,
    /// The number of the next shorter prefix around it.
    parent: PrefixNumber,
}

/// One more than a prefix's index; zero is no prefix.
type PrefixNumber = u32;

impl RouteTable {
    /// Checks and compiles.
    pub(crate) fn new(
        source: &Arc<RouteTableInput>,
        limits: &Limits,
    ) -> Result<Self, CompileError> {
        let place = || format!("route table `{}`", source.name);
        // Each cuts the line of its family twice at most.
        let routes_max = limits.routes_max.min(CUTS_MAX / 2);
        Counted::Routes.within(source.routes.len(), routes_max, place)?;
        let mut builder = Builder::default();
        let numbered = || (0..).zip(&source.routes);
        let v4 = numbered().filter_map(|(number, route)| match &route.prefix {
            IpNet::V4(prefix) => Some(Candidate::new(range_v4(prefix), number, route)),
            IpNet::V6(_) => None,
        });
        let v4 = Line::new(builder.cuts(v4.collect()));
        let v6 = numbered().filter_map(|(number, route)| match &route.prefix {
            IpNet::V4(_) => None,
            IpNet::V6(prefix) => Some(Candidate::new(range_v6(prefix), number, route)),
        });
        let v6 = Line::new(builder.cuts(v6.collect()));
        let Builder { prefixes, routes } = builder;
        let source = Arc::clone(source);
        Ok(RouteTable {
            source,
            v4,
            v6,
            prefixes: prefixes.into(),
            routes: routes.into(),
        })
    }

    /// The table's name.
    pub(crate) fn name(&self) -> &str {
        &self.source.name
    }

    /// The best route to `destination`, and those it overrode.
    #[inline]
    pub(crate) fn get(&self, destination: IpAddr) -> Option<(RouteRef<'_>, Overridden<'_>)> {
        let number = match destination {
            IpAddr::V4(v4) => self.v4.get(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.get(v6.to_bits()),
        };
        let prefix = self.prefix(number)?;
        let chosen = RouteRef {
            next_hop: prefix.next_hop,
            ..self.route(prefix.best)
        };
        Some((
            chosen,
            Overridden {
                table: self,
                same_prefix: self.others_of(prefix),
                shorter: self.prefix(prefix.parent),
            },
        ))
    }

    /// Bytes on the heap, without the input.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.v4.memory_bytes()
            + self.v6.memory_bytes()
            + size_of_val(&*self.prefixes)
            + size_of_val(&*self.routes)
    }

    fn prefix(&self, number: PrefixNumber) -> Option<&PrefixRoutes> {
        self.prefixes.get((number as usize).checked_sub(1)?)
    }

    fn others_of(&self, prefix: &PrefixRoutes) -> &[u32] {
        &self.routes[prefix.first as usize..][..prefix.count as usize]
    }

    fn route(&self, number: u32) -> RouteRef<'_> {
        let RouteInput {
            name,
            prefix,
            source,
            next_hop,
        } = &self.source.routes[number as usize];
        let table = self.name();
        RouteRef {
            table,
            name,
            prefix: *prefix,
            source: *source,
            next_hop: *next_hop,
        }
    }
}

/// A route on its way into the table. In their order, a prefix comes after all that contain it, and
/// the routes of one prefix come together, best first.
struct Candidate<P> {
    first: P,
    last: Reverse<P>,
    source: RouteSource,
    number: u32,
    next_hop: NextHop,
}

impl<P: Point> Candidate<P> {
    fn order(&self) -> (P, Reverse<P>, RouteSource, u32) {
        (self.first, self.last, self.source, self.number)
    }

    fn new((first, last): Range<P>, number: u32, route: &RouteInput) -> Self {
        Candidate {
            first,
            last: Reverse(last),
            source: route.source,
            number,
            next_hop: route.next_hop,
        }
    }
}

#[derive(Default)]
struct Builder {
    prefixes: Vec<PrefixRoutes>,
    routes: Vec<u32>,
}

impl Builder {
    /// Takes the routes of one family, and says where the longest prefix changes.
    fn cuts<P: Point>(&mut self, mut candidates: Vec<Candidate<P>>) -> Vec<(P, PrefixNumber)> {
        candidates.sort_unstable_by_key(Candidate::order);
        let mut cuts = Vec::new();
        let mut around: Vec<(P, PrefixNumber)> = Vec::new();
        for routes in candidates.chunk_by(|a, b| (a.first, a.last) == (b.first, b.last)) {
            let (first, Reverse(last)) = (routes[0].first, routes[0].last);
            close(&mut around, &mut cuts, |end| end < first);
            let parent = around.last().map_or(0, |outer| outer.1);
            let number = self.add(routes, parent);
            cut(&mut cuts, first, number);
            around.push((last, number));
        }
        close(&mut around, &mut cuts, |_| true);
        cuts
    }

    /// Takes the routes of a prefix, of which there are some.
    fn add<P>(&mut self, routes: &[Candidate<P>], parent: PrefixNumber) -> PrefixNumber {
        let number = |count: usize| u32::try_from(count).expect("routes are fewer than 2^24");
        let (best, others) = (&routes[0], &routes[1..]);
        let (first, count) = (number(self.routes.len()), number(others.len()));
        self.routes.extend(others.iter().map(|route| route.number));
        self.prefixes.push(PrefixRoutes {
            next_hop: best.next_hop,
            best: best.number,
            first,
            count,
            parent,
        });
        number(self.prefixes.len())
    }
}

/// Ends the innermost prefixes whose last point is `over`.
fn close<P: Point>(
    around: &mut Vec<(P, PrefixNumber)>,
    cuts: &mut Vec<(P, PrefixNumber)>,
    over: impl Fn(P) -> bool,
) {
    while let Some((last, _)) = around.pop_if(|inner| over(inner.0)) {
        let Some(after) = last.next() else { continue };
        cut(cuts, after, around.last().map_or(0, |outer| outer.1));
    }
}

/// Cuts at a point that is not before the last cut; at the same point, the later word counts.
fn cut<P: Point>(cuts: &mut Vec<(P, PrefixNumber)>, at: P, number: PrefixNumber) {
    match cuts.last_mut() {
        Some(last) if last.0 == at => last.1 = number,
        _ => cuts.push((at, number)),
    }
}
