//! Which port a gateway gets on the shared network, where there is no wall. OpenClaw derives more ports from its
//! first, so two agents stand [`PORT_STRIDE`] apart.

use std::collections::BTreeSet;

use crate::limits::PORT_STRIDE;

/// The lowest free slot from `first` up: not `given` to another agent and not `refused` by the machine (something
/// else listens there). None when every slot up to 65,535 is taken.
pub fn pick(first: u16, given: &BTreeSet<u16>, refused: &BTreeSet<u16>) -> Option<u16> {
    let slots = (first..=u16::MAX - PORT_STRIDE).step_by(usize::from(PORT_STRIDE));
    slots
        .into_iter()
        .find(|port| !refused.contains(port) && given.iter().all(|g| g.abs_diff(*port) >= PORT_STRIDE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_agents_stand_a_stride_apart_and_a_taken_port_is_passed_over() {
        let given = BTreeSet::from([19_100, 19_340]);
        assert_eq!(pick(19_100, &given, &BTreeSet::new()), Some(19_220));
        assert_eq!(pick(19_100, &given, &BTreeSet::from([19_220])), Some(19_460));
    }

    #[test]
    fn a_machine_without_a_free_slot_gives_none() {
        let refused = (60_000..=u16::MAX).collect();
        assert_eq!(pick(60_000, &BTreeSet::new(), &refused), None);
    }

    #[test]
    fn a_port_given_by_an_older_creel_with_another_first_port_keeps_its_distance() {
        assert_eq!(pick(19_100, &BTreeSet::from([19_150]), &BTreeSet::new()), Some(19_340));
    }
}
