//! Who gets which free space, and how much of it (systemd, `context_allocate_partitions`, `context_grow_partitions`,
//! `context_place_partitions`).

use std::collections::BTreeSet;

use super::SIGNATURE_SIZE;
use super::area::Area;
use super::planner::{Part, Planner};
use crate::compatibility::Compatibility;
use crate::geometry::{round_down, round_up};
use ddi_gpt::Designator;

/// Which of the members of an area is given its final size now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What is kept as it is.
    Foreign,
    /// Who needs more than a share.
    Overcharge,
    /// Who may not have a whole share.
    Undercharge,
    /// The others.
    Distribute,
}

impl Planner<'_> {
    fn has_signature_type(part: &Part) -> bool {
        matches!(part.kind.designator(), Some(Designator::RootVeritySig | Designator::UsrVeritySig))
    }

    /// Bytes that a partition has at least.
    pub(crate) fn min(&self, part: &Part) -> u64 {
        let current = part.existing.as_ref().map(|existing| existing.size);
        if let (true, Some(current)) = (part.is_foreign(), current) {
            return current;
        }
        if Self::has_signature_type(part) {
            return SIGNATURE_SIZE;
        }
        let base = current.unwrap_or_else(|| part.content_min.max(4096));
        let wanted = part.wanted.size_min.unwrap_or(if part.may_be_tiny { 1 } else { 10 << 20 });
        round_up(wanted, self.grain).max(base)
    }

    /// Bytes that it has at most.
    fn max(&self, part: &Part) -> u64 {
        let current = part.existing.as_ref().map(|existing| existing.size);
        if let (true, Some(current)) = (part.is_foreign(), current) {
            return current;
        }
        let is_signature = match self.compatibility() {
            Compatibility::Repart257 => part.is_signature,
            _ => Self::has_signature_type(part),
        };
        if is_signature {
            return SIGNATURE_SIZE;
        }
        let Some(max) = part.wanted.size_max else { return u64::MAX };
        let max = round_down(max, self.grain);
        self.min(part).max(current.unwrap_or_default().max(max))
    }

    fn min_padding(part: &Part) -> u64 {
        part.wanted.padding_min.unwrap_or_default()
    }

    fn max_padding(part: &Part) -> u64 {
        part.wanted.padding_max.unwrap_or(u64::MAX)
    }

    /// Bytes that it takes with what is to be free behind it.
    pub(crate) fn need(&self, part: &Part) -> u64 {
        let whole = self.min(part).saturating_add(Self::min_padding(part));
        match &part.existing {
            Some(existing) => {
                round_up(existing.offset.saturating_add(whole), self.grain).saturating_sub(existing.offset)
            }
            None => round_up(whole, self.grain),
        }
    }

    /// What of an area is left for new partitions, if the one before it takes no more than it needs.
    fn for_new(&self, area: &Area) -> u64 {
        let before = area.after.and_then(|index| self.parts.get(index));
        let Some((part, existing)) = before.and_then(|part| Some((part, part.existing.as_ref()?))) else {
            return area.available();
        };
        let end = round_up(existing.offset.saturating_add(existing.size), self.grain);
        let needed = round_up(existing.offset.saturating_add(self.need(part)), self.grain);
        end.saturating_add(area.available()).saturating_sub(needed)
    }

    fn find_areas(&mut self) {
        let (start, end) = self.geometry.map_or((0, 0), |geometry| geometry.bounds());
        self.areas.clear();
        let first = self.parts.iter().filter_map(|part| Some(part.existing.as_ref()?.offset)).min();
        let size = round_down(first.unwrap_or(end), self.grain).min(end).saturating_sub(start);
        if size > 0 {
            self.areas.push(Area { after: None, size, allocated: 0 });
        }
        for (index, part) in self.parts.iter_mut().enumerate() {
            part.area = None;
            let Some(existing) = part.existing.as_ref().filter(|existing| existing.padding > 0) else {
                continue;
            };
            part.area = Some(self.areas.len());
            self.areas.push(Area { after: Some(index), size: existing.padding, allocated: 0 });
        }
    }

    /// Finds an area for each new partition; `false` if something does not fit.
    pub(crate) fn allocate(&mut self) -> bool {
        self.find_areas();
        let fits = |part: &Part| {
            let Some(existing) = &part.existing else { return true };
            let available = part.area.and_then(|area| self.areas.get(area)).map_or(0, Area::available);
            let end = round_up(existing.offset.saturating_add(existing.size), self.grain);
            let needed = round_up(existing.offset.saturating_add(self.need(part)), self.grain);
            // what has no free space behind it, and wants some, has no room either
            part.is_foreign() && part.area.is_none() || end.saturating_add(available) >= needed
        };
        if !self.parts.iter().all(fits) {
            return false;
        }
        let mut order: Vec<usize> = (0..self.areas.len()).collect();
        order.sort_by_cached_key(|index| self.areas.get(*index).map(|area| self.for_new(area)));
        self.area_order.clone_from(&order);
        for index in 0..self.parts.len() {
            let Some(part) = self.parts.get(index).filter(|part| part.is_new()) else { continue };
            let need = self.need(part);
            let has_room = |at: &&usize| self.areas.get(**at).is_some_and(|area| self.for_new(area) >= need);
            let Some(found) = order.iter().find(has_room).copied() else { return false };
            if let (Some(area), Some(part)) = (self.areas.get_mut(found), self.parts.get_mut(index)) {
                area.allocated = area.allocated.saturating_add(need);
                part.area = Some(found);
            }
        }
        true
    }

    /// Bytes of the largest free area.
    pub(crate) fn largest_free(&self) -> u64 {
        let without = |area: &Area| self.for_new(&Area { allocated: 0, ..*area });
        self.areas.iter().map(without).max().unwrap_or_default()
    }

    /// Gives every member of every area its size, and the free space behind it.
    pub(crate) fn grow(&mut self) {
        for part in &mut self.parts {
            if let (Some(existing), None) = (&part.existing, part.area) {
                part.size = Some(existing.size);
                part.padding = Some(existing.padding);
            }
        }
        let mut members: Vec<Vec<usize>> = vec![Vec::new(); self.areas.len()];
        for (index, part) in self.parts.iter().enumerate().filter(|(_, part)| !part.dropped) {
            if let Some(list) = part.area.and_then(|area| members.get_mut(area)) {
                list.push(index);
            }
        }
        for (area, members) in self.areas.clone().into_iter().zip(members) {
            self.grow_area(area, &members);
        }
    }

    fn grow_area(&mut self, area: Area, members: &[usize]) {
        let before = area.after.and_then(|index| self.parts.get(index)?.existing.as_ref());
        let mut span = area.size;
        if let Some(existing) = before {
            let end = round_up(existing.offset.saturating_add(existing.size), self.grain);
            span = span.saturating_add(end.saturating_sub(existing.offset));
        }
        let weights = members.iter().filter_map(|index| self.parts.get(*index)).map(|part| part.wanted);
        let mut sum = weights.fold(0_u64, |sum, wanted| {
            sum.saturating_add(wanted.weight).saturating_add(wanted.padding_weight)
        });
        for phase in [Phase::Foreign, Phase::Overcharge, Phase::Undercharge, Phase::Distribute] {
            // each pass but the last one settles something that cannot be changed again
            while self.grow_pass(phase, members, &mut span, &mut sum) {}
        }
        let is_257 = self.compatibility() == Compatibility::Repart257;
        let order: Vec<usize> = match is_257 {
            true => members.to_vec(),
            // as they are on the disk
            false => {
                let first = members.iter().filter(|index| area.after == Some(**index));
                first.chain(members.iter().filter(|index| area.after != Some(**index))).copied().collect()
            }
        };
        for index in &order {
            let Some(part) = self.parts.get(*index) else { continue };
            if part.is_foreign() || is_257 && part.existing.is_some() {
                continue;
            }
            let (old, max) = (part.size.unwrap_or_default(), self.max(part));
            let new = round_down(old.saturating_add(span), self.grain).min(max);
            if new > old {
                span = span.saturating_sub(round_up(new.saturating_sub(old), self.grain));
                if let Some(part) = self.parts.get_mut(*index) {
                    part.size = Some(new);
                }
            }
        }
        let (last, rest) = match is_257 {
            true => (area.after, span),
            false => (order.last().copied(), round_down(span, self.grain)),
        };
        if let Some(part) = last.and_then(|index| self.parts.get_mut(index)) {
            part.padding = Some(part.padding.unwrap_or_default().saturating_add(rest));
        }
    }

    /// One pass over the members; true if the phase has to be gone through again.
    fn grow_pass(&mut self, phase: Phase, members: &[usize], span: &mut u64, sum: &mut u64) -> bool {
        let mut again = false;
        let mut charge = |value: u64, weight: u64, span: &mut u64, sum: &mut u64| {
            *span = span.saturating_sub(round_up(value, self.grain));
            *sum = sum.saturating_sub(weight);
            again |= matches!(phase, Phase::Overcharge | Phase::Undercharge);
            Some(value)
        };
        for index in members {
            let Some(part) = self.parts.get(*index) else { continue };
            let foreign = part.existing.as_ref().filter(|_| part.is_foreign()).map(|existing| existing.size);
            let (mut size, mut padding) = (part.size, part.padding);
            let wanted = part.wanted;
            if size.is_none() {
                let value = match (phase, foreign) {
                    (Phase::Foreign, foreign) => foreign,
                    _ => {
                        let share = share(*span, wanted.weight, *sum);
                        settle(phase, share, self.min(part), self.max(part), self.grain)
                    }
                };
                size = value.and_then(|value| charge(value, wanted.weight, span, sum));
            }
            if padding.is_none() && phase != Phase::Foreign {
                let share = share(*span, wanted.padding_weight, *sum);
                let (min, max) = (Self::min_padding(part), Self::max_padding(part));
                let value = settle(phase, share, min, max, self.grain);
                padding = value.and_then(|value| charge(value, wanted.padding_weight, span, sum));
            }
            if let Some(part) = self.parts.get_mut(*index) {
                (part.size, part.padding) = (size, padding);
            }
        }
        again
    }

    /// Gives every partition its place.
    pub(crate) fn place(&mut self) {
        for part in &mut self.parts {
            part.offset = part.existing.as_ref().map_or(0, |existing| existing.offset);
        }
        let (start, _) = self.geometry.map_or((0, 0), |geometry| geometry.bounds());
        let realign = self.compatibility() != Compatibility::Repart257;
        let mut next: Vec<u64> = Vec::with_capacity(self.areas.len());
        for area in &self.areas {
            let before = area.after.and_then(|index| self.parts.get(index));
            next.push(before.map_or(start, |part| {
                let taken = part.size.unwrap_or_default().saturating_add(part.padding.unwrap_or_default());
                round_up(part.offset.saturating_add(taken), self.grain)
            }));
        }
        for part in &mut self.parts {
            if !part.is_new() {
                continue;
            }
            let Some(next) = part.area.and_then(|area| next.get_mut(area)) else { continue };
            part.offset = *next;
            let taken = part.size.unwrap_or_default().saturating_add(part.padding.unwrap_or_default());
            *next = next.saturating_add(taken);
            if realign {
                *next = round_up(*next, self.grain);
            }
        }
    }

    /// The order of the plan, as places in the list.
    pub(crate) fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.parts.len()).collect();
        if self.compatibility() != Compatibility::Repart257 {
            order.sort_by_key(|index| self.parts.get(*index).map(|part| part.offset));
        }
        order
    }

    /// Gives every new partition its place in the table.
    pub(crate) fn number(&mut self, order: &[usize], entries: u32) {
        let existing: Vec<(super::PartitionType, u32)> =
            self.parts.iter().filter_map(|part| Some((part.kind, part.existing.as_ref()?.number))).collect();
        let mut taken: BTreeSet<u32> = existing.iter().map(|(_, number)| *number).collect();
        let behind_type = self.compatibility() != Compatibility::Repart257;
        // area by area, the smallest first, as they were filled
        let rank = |index: &usize| {
            let area = self.parts.get(*index).and_then(|part| part.area);
            area.and_then(|area| self.area_order.iter().position(|other| *other == area))
        };
        let mut order = order.to_vec();
        order.sort_by_cached_key(rank);
        for index in order {
            let Some(part) = self.parts.get_mut(index) else { continue };
            if let Some(existing) = &part.existing {
                part.number = existing.number;
                continue;
            }
            let of_type = existing.iter().filter(|(kind, _)| *kind == part.kind).map(|(_, number)| *number);
            let least = of_type.max().filter(|_| behind_type).map_or(0, |number| number.saturating_add(1));
            let free = |from: u32| (from..entries).find(|number| !taken.contains(number));
            let number = free(least).or_else(|| free(0)).unwrap_or(entries);
            taken.insert(number);
            part.number = number;
        }
    }
}

/// What a member is given in this phase, if anything.
fn settle(phase: Phase, share: u64, min: u64, max: u64, grain: u64) -> Option<u64> {
    match phase {
        Phase::Foreign => None,
        Phase::Overcharge => (min > share).then_some(min),
        Phase::Undercharge => (max < share).then_some(max),
        Phase::Distribute => Some(round_down(share, grain).min(max).max(min)),
    }
}

/// The part of `span` that `weight` of `sum` stands for, reckoned in 64 bits as systemd-repart does it.
fn share(span: u64, mut weight: u64, mut sum: u64) -> u64 {
    loop {
        if weight == 0 {
            return 0;
        }
        if weight == sum {
            return span;
        }
        if let Some(product) = span.checked_mul(weight) {
            return product.checked_div(sum).unwrap_or_default();
        }
        sum = sum.div_ceil(2);
        weight >>= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        assert_eq!(share(100, 1, 3), 33);
        assert_eq!(share(100, 0, 3), 0);
        assert_eq!(share(100, 3, 3), 100);
        assert_eq!(share(100, 0, 0), 0);
        // past 64 bits the weights are halved, the sum upwards: 6 of 9 become 3 of 5
        assert_eq!(share(1 << 62, 6, 9), (1 << 62) / 5 * 3 + (1 << 62) % 5 * 3 / 5);
        assert_eq!(share(u64::MAX, 2, 3), u64::MAX / 2);
    }
}
