//! Users and groups that extended attributes name, which have other numbers in a user namespace.

use crate::acl;

const CAPABILITY: &[u8] = b"security.capability";
/// The version of a capability that counts in one user namespace only, and where the value names
/// the root of that namespace (`include/uapi/linux/capability.h`).
const CAPABILITY_VERSION_MASK: u32 = 0xff00_0000;
const CAPABILITY_OF_NAMESPACE: u32 = 0x0300_0000;
const CAPABILITY_ROOT: usize = 20;

/// Renumbers the users and groups that the value of an extended attribute names.
pub fn rename_owners(
    name: &[u8],
    value: &mut [u8],
    user: &dyn Fn(u32) -> u32,
    group: &dyn Fn(u32) -> u32,
) {
    if name == acl::ACCESS || name == acl::DEFAULT {
        acl::rename(value, user, group);
    } else if name == CAPABILITY
        && let Some((version, _)) = value.split_first_chunk::<4>()
        && u32::from_le_bytes(*version) & CAPABILITY_VERSION_MASK == CAPABILITY_OF_NAMESPACE
        && let Some(root) = value.get_mut(CAPABILITY_ROOT..CAPABILITY_ROOT + 4)
    {
        acl::renumber(root, user);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(name: &[u8], mut value: Vec<u8>) -> Vec<u8> {
        rename_owners(name, &mut value, &|user| user + 1000, &|group| group + 50);
        value
    }

    #[test]
    fn users_and_groups_in_access_lists_get_their_other_numbers() {
        let entry =
            |tag: u16, id: u32| [&tag.to_le_bytes()[..], &[7, 0], &id.to_le_bytes()].concat();
        let list = |user, group| {
            [&[2, 0, 0, 0][..], &entry(1, u32::MAX), &entry(2, user), &entry(8, group)].concat()
        };
        assert_eq!(renamed(acl::ACCESS, list(1, 2)), list(1001, 52));
        assert_eq!(renamed(acl::DEFAULT, list(1, 2)), list(1001, 52));
        assert_eq!(renamed(b"user.list", list(1, 2)), list(1, 2));
        assert_eq!(renamed(acl::ACCESS, vec![2]), [2]);
    }

    #[test]
    fn a_capability_of_a_namespace_names_its_root() {
        let capability = |version: u32, root: u32| {
            [&version.to_le_bytes()[..], &[0; 16], &root.to_le_bytes()].concat()
        };
        assert_eq!(renamed(CAPABILITY, capability(0x0300_0001, 0)), capability(0x0300_0001, 1000));
        assert_eq!(renamed(CAPABILITY, capability(0x0200_0001, 0)), capability(0x0200_0001, 0));
        let short = capability(0x0300_0001, 0)[..20].to_vec();
        assert_eq!(renamed(CAPABILITY, short.clone()), short);
    }
}
