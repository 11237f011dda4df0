// OfferReader: what a level-up window offers: its kind, which one within its kind, how rare, the
// level it would reach, what it changes. Knows the game's upgrades; the windows and where their
// buttons are, MenuReader knows.
using System;
using Metabonk.Core;

namespace Metabonk.Game
{
    public static class OfferReader
    {
        /// <summary>What a button offers. Item counts from 0 as in the game's own lists of weapons,
        /// tomes and items, so that one that is held is Kind = Item + 1 of the loadout.</summary>
        public static Offer Of(UpgradeButton button)
        {
            var offer = new Offer { Text = "", Rarity = RarityOf((int)button.rarity) };
            if (button.isItem) Item(button.itemData, ref offer);
            else if (button.upgradable != null) Upgrade(button.upgradable, ref offer);
            if (button.upgradeOffer == null) return offer;
            foreach (var change in button.upgradeOffer)
            {
                if (change == null || offer.ChangeCount == GameState.MaxChanges) continue;
                bool multiply = change.modifyType.ToString() == "Multiplication";
                offer.SetChange(offer.ChangeCount++, new StatChange { Stat = (byte)change.stat,
                    Multiply = multiply, Amount = change.modification });
            }
            return offer;
        }

        static void Upgrade(IUpgradable upgrade, ref Offer offer)
        {
            offer.Text = upgrade.GetName() ?? "";
            offer.Level = Small(upgrade.GetLevel() + 1);
            TomeData tome = upgrade.TryCast<TomeData>();
            if (tome != null)
            {
                offer.Kind = OfferKind.Tome;
                offer.Item = Small((int)tome.eTome);
                return;
            }
            WeaponData weapon = upgrade.TryCast<WeaponData>();
            offer.Kind = OfferKind.Weapon;
            if (weapon != null) offer.Item = Small((int)weapon.eWeapon);
        }

        static void Item(ItemData item, ref Offer offer)
        {
            offer.Kind = OfferKind.Item;
            if (item == null) return;
            offer.Text = item.GetName() ?? "";
            offer.Item = Small((int)item.eItem);
            offer.Rarity = RarityOf(item.rarity.ToString());
        }

        // The game's: new, common, uncommon, rare, epic, legendary. Ours begin with common.
        static byte RarityOf(int rarity) { return (byte)Math.Max(0, Math.Min(4, rarity - 1)); }

        // Items have rarities of their own, by name.
        static byte RarityOf(string rarity)
        {
            switch (rarity)
            {
                case "Rare": return 2;
                case "Epic": return 3;
                case "Legendary":
                case "Corrupted": return 4;
                default: return 0;
            }
        }

        static byte Small(int value) { return (byte)Math.Max(0, Math.Min(255, value)); }
    }
}
