use std::hash::Hash;
use std::sync::Arc;

use flow::PortId;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::error::{CompileError, Counted};
use crate::input::{NicInput, PolicyInput, RouteTableInput, RuleSetInput};
use crate::limits::Limits;
use crate::mapping::MappingTable;
use crate::nic::NicPolicy;
use crate::route_table::RouteTable;
use crate::rule_set::RuleSet;
use crate::segment::{Receivers, Segments};
use crate::snapshot::{Lineage, NicTable, Snapshot};

/// Turns policies into snapshots, generation by generation.
///
/// It remembers the rule sets and route tables of the last generation, so that only new ones cost
/// anything, and its mappings, so that slots in which nothing changed keep their version.
#[derive(Debug)]
pub struct Compiler {
    limits: Limits,
    rule_sets: Cache<RuleSetInput, RuleSet>,
    route_tables: Cache<RouteTableInput, RouteTable>,
    mappings: MappingTable,
    lineage: Lineage,
}

impl Compiler {
    /// A compiler that has seen no policy.
    pub fn new(limits: Limits) -> Compiler {
        Compiler {
            limits,
            rule_sets: Cache::default(),
            route_tables: Cache::default(),
            mappings: MappingTable::new(),
            lineage: Lineage::default(),
        }
    }

    /// Compiles the next generation.
    ///
    /// Mapping slots continue from the last snapshot this compiler made or was told of by
    /// [`Compiler::remember`]. If there are derived ones that it was not told of, it cannot know
    /// what changed, and every slot gets a version none of them had.
    ///
    /// # Errors
    /// When the policy is larger than the limits or contradicts itself. The compiler is then as it
    /// was before.
    pub fn compile(&mut self, input: &PolicyInput) -> Result<Snapshot, CompileError> {
        let limits = self.limits;
        check(input, &limits)?;
        let mut rule_sets = self.rule_sets.next();
        let mut route_tables = self.route_tables.next();
        let mut rule_set =
            |set: &Arc<RuleSetInput>| rule_sets.get(set, |set| RuleSet::new(set, &limits));
        let mut nics = Vec::with_capacity(input.nics.len());
        for nic in &input.nics {
            let outbound = nic
                .outbound
                .iter()
                .map(&mut rule_set)
                .collect::<Result<_, _>>()?;
            let inbound = nic
                .inbound
                .iter()
                .map(&mut rule_set)
                .collect::<Result<_, _>>()?;
            let routes = route_tables.get(&nic.routes, |table| RouteTable::new(table, &limits))?;
            nics.push(NicPolicy::new(nic, outbound, inbound, routes));
        }
        let lineage = self.lineage.now();
        // One more than all the snapshots we missed could have advanced a slot.
        let skipped = match self.lineage.missed() {
            0 => 0,
            missed => missed.wrapping_add(1),
        };
        let mappings = self.mappings.replaced(&input.mappings, skipped)?;
        let (rule_sets, route_tables) = (rule_sets.used, route_tables.used);
        *self = Compiler {
            limits,
            rule_sets,
            route_tables,
            mappings,
            lineage,
        };
        let (mappings, lineage) = (self.mappings.clone(), self.lineage.clone());
        let nics = NicTable::new(nics);
        let segments = input.segments.iter();
        let segments: Segments = segments
            .map(|segment| (segment.vni, Receivers::of(segment, &input.nics)))
            .collect();
        Ok(Snapshot::new(
            input.generation,
            nics,
            mappings,
            limits.mappings_max,
            input.uplink,
            segments,
            lineage,
        ))
    }

    /// Makes `snapshot`, which [`Snapshot::with_mapping_changes`] derived from this compiler's last
    /// one, the one whose mapping slots the next generation continues.
    pub fn remember(&mut self, snapshot: &Snapshot) {
        self.mappings = snapshot.mapping_table().clone();
        self.lineage = snapshot.lineage().clone();
    }
}

/// What depends on no rule set and no route table.
fn check(input: &PolicyInput, limits: &Limits) -> Result<(), CompileError> {
    let policy = || "policy".to_owned();
    Counted::Nics.within(input.nics.len(), limits.nics_max, policy)?;
    Counted::Mappings.within(input.mappings.len(), limits.mappings_max, policy)?;
    let mut by_port: Vec<&NicInput> = input.nics.iter().collect();
    by_port.sort_by_key(|nic| nic.port);
    for pair in by_port.windows(2) {
        if pair[0].port == pair[1].port {
            let (first, second) = (pair[0].name.clone(), pair[1].name.clone());
            return Err(CompileError::DuplicatePort {
                port: pair[0].port,
                first,
                second,
            });
        }
    }
    for nic in &input.nics {
        if nic.port == PortId(0) || nic.port > PortId::MAX {
            return Err(CompileError::InvalidPort {
                nic: nic.name.clone(),
                port: nic.port,
            });
        }
        let place = || format!("NIC `{}`", nic.name);
        Counted::Addresses.within(nic.addresses.len(), limits.addresses_per_nic_max, place)?;
        for sets in [&nic.outbound, &nic.inbound] {
            Counted::RuleSets.within(sets.len(), limits.sets_per_direction_max, place)?;
        }
    }
    Ok(())
}

/// Compiled forms of the values of one generation, by address and by value.
#[derive(Debug)]
struct Cache<I, C> {
    /// By the address of the input, which stays taken while the entry holds the input.
    by_address: HashMap<usize, (Arc<I>, Arc<C>), RandomState>,
    by_value: HashMap<Arc<I>, Arc<C>, RandomState>,
}

/// A cache in the making: what the generation being compiled uses, found in the last one's cache
/// if it is there.
struct NextCache<'a, I, C> {
    last: &'a Cache<I, C>,
    used: Cache<I, C>,
}

impl<I, C> Default for Cache<I, C> {
    fn default() -> Self {
        Cache {
            by_address: HashMap::default(),
            by_value: HashMap::default(),
        }
    }
}

impl<I: Hash + Eq, C> Cache<I, C> {
    fn next(&self) -> NextCache<'_, I, C> {
        NextCache {
            last: self,
            used: Cache::default(),
        }
    }

    fn get_by_value(&self, input: &Arc<I>) -> Option<&Arc<C>> {
        self.by_value.get(input)
    }
}

impl<I: Hash + Eq, C> NextCache<'_, I, C> {
    fn get<E>(
        &mut self,
        input: &Arc<I>,
        compile: impl FnOnce(&Arc<I>) -> Result<C, E>,
    ) -> Result<Arc<C>, E> {
        let address = Arc::as_ptr(input).addr();
        if let Some((_, compiled)) = self.used.by_address.get(&address) {
            return Ok(Arc::clone(compiled));
        }
        let known = self
            .last
            .by_address
            .get(&address)
            .map(|(_, compiled)| compiled);
        let known = known.or_else(|| self.used.get_by_value(input));
        let known = known.or_else(|| self.last.get_by_value(input));
        let compiled = match known {
            Some(compiled) => Arc::clone(compiled),
            None => Arc::new(compile(input)?),
        };
        self.used
            .by_address
            .insert(address, (Arc::clone(input), Arc::clone(&compiled)));
        self.used
            .by_value
            .insert(Arc::clone(input), Arc::clone(&compiled));
        Ok(compiled)
    }
}
