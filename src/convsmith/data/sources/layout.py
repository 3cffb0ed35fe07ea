"""Which folders of a tree are splits and which are classes. A guess is said in words; a doubt is an error that asks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from convsmith.base.errors import BadFile
from convsmith.data.sources.split_names import SPLITS, split_name
from convsmith.data.sources.tree import Tree
from convsmith.report.text import many

_PAIRS = (("images", "masks"), ("images", "labels"), ("images", "annotations"))


@dataclass(frozen=True)
class Layout:
    """The class folders of each split, by name, in `tree`. `words` say what was recognized, `notes` what is left out.

    `loose` are the folders whose own images lie in no class folder.
    """

    tree: Tree
    splits: dict[str, dict[str, Tree]]
    words: str
    notes: tuple[str, ...] = ()
    loose: tuple[Tree, ...] = ()

    def class_names(self) -> set[str]:
        """The classes that hold images, of any split."""
        return {name for classes in self.splits.values() for name, tree in classes.items() if tree.count}


@dataclass
class _Told:
    """The words, notes and loose folders of a layout, gathered while it is recognized."""

    words: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    loose: list[Tree] = field(default_factory=list)


def find_layout(root: Path, tree: Tree, chosen: Sequence[str] = ()) -> Layout | None:
    """The layout of the tree at `root`; None if no folder in it holds images. `chosen` are the classes a user names.

    Raises BadFile if folders may be splits as well as classes, or contradict each other.
    """
    told = _Told()
    top = _entered(tree, told, chosen)
    if not top.filled():
        return None
    _refuse_masks(root, top)
    splits = _split_folders(root, top, told, chosen)
    if splits is None:
        _leave_loose(top, told)
        splits = _above_splits(top, told, chosen) or {"train": _classes(root, top, told, chosen)}
    return Layout(top, splits, "; ".join(told.words), tuple(told.notes), tuple(told.loose))


def _entered(tree: Tree, told: _Told, chosen: Sequence[str]) -> Tree:
    """The folder that holds the classes or splits. Unzipping puts it into folders that hold one folder each."""
    top = tree
    while len(kids := top.filled()) == 1 and kids[0].filled() and kids[0].name not in chosen:
        if _is_split(kids[0]) and not _splits_inside(kids[0], chosen):
            break
        _leave_loose(top, told)
        top = kids[0]
    if top is not tree:
        told.words.append(f"{top.place}/, the only folder of images in it")
    return top


def _is_split(tree: Tree) -> bool:
    named = split_name(tree.name)
    return named is not None and not named[1]


def _splits_inside(tree: Tree, chosen: Sequence[str] = ()) -> tuple[str, ...]:
    """The folders of two splits or more in this one, which make it a data set of its own; none if there are none.

    They lie in it (`train/train`, `train/val`), in the only folder in it, or in each of its class folders. They are
    classes if a user names them.
    """
    kids = tree.filled()
    if len(kids) == 1 and kids[0].filled():
        return _splits_inside(kids[0], chosen)
    if chosen and {kid.name for kid in kids} <= set(chosen):
        return ()
    if all(not kid.images and all(map(_is_split, kid.filled())) for kid in kids):
        return _names_of_splits(kids) or _names_of_splits([folder for kid in kids for folder in kid.filled()])
    return _names_of_splits(kids)


def _names_of_splits(folders: Sequence[Tree]) -> tuple[str, ...]:
    """The names of the folders of two splits or more, with equal other words: those with folders, or all of them."""
    found: dict[tuple[str, ...], dict[str, Tree]] = {}
    for folder in folders:
        named = split_name(folder.name)
        if named is not None and named[0] in SPLITS:
            found.setdefault(named[1], {})[folder.name] = folder
    for rest, named in found.items():
        whole = len(named) == len({folder.name for folder in folders}) and not rest
        splits = {split_name(name) for name in named}
        if len(splits) > 1 and (whole or any(folder.filled() for folder in named.values())):
            return tuple(named)
    return ()


def _refuse_masks(root: Path, top: Tree) -> None:
    for tree in (top, *top.folders):
        names = {folder.name.lower() for folder in tree.folders}
        if any(set(pair) == names for pair in _PAIRS):
            raise BadFile(
                root / tree.place,
                f"this looks like image and mask folders, for segmentation or detection ({', '.join(sorted(names))}); "
                "expected one folder per class",
            )


def _split_folders(root: Path, top: Tree, told: _Told, chosen: Sequence[str]) -> dict[str, dict[str, Tree]] | None:
    """The class folders of each split; None if the folders in `top` are classes."""
    named = {kid.name: found for kid in top.folders if (found := split_name(kid.name))}
    filled = {kid.name for kid in top.filled()}
    empty = [name for name, (_, rest) in named.items() if name not in filled and not rest]
    named = _together(top, {name: found for name, found in named.items() if name in filled})
    if not named:
        return None
    told.notes += [f"{name}/ has no image: left out" for name in empty]
    stray = [kid for kid in top.filled() if kid.name not in named]
    real = [name for name, split in named.items() if split != "unlabeled"]
    # One split's name among other names may be a class (train, bus); two are splits.
    if stray and len(real) < 2:
        return None
    by_split = _by_split(root / top.place, {name: split for name, split in named.items() if split in SPLITS})
    kids = {kid.name: kid for kid in top.folders}
    if len(top.filled()) > 1:
        inside = "these are classes, name them with --data.classes"
        _refuse_sets(root, [kids[name] for name in by_split.values()], inside, chosen)
    found = {split: _inner(kids[name], split, told) for split, name in by_split.items()}
    classes = {name for tree in found.values() for name in (kid.name for kid in tree.filled())}
    for kid in stray:
        if {inner.name for inner in kid.filled()} & (classes | set(named)) or not kid.images:
            raise BadFile(
                root / top.place, f"{kid.name} lies beside the splits {', '.join(real)}; move it away, or into a split"
            )
        _leave_flat(kid, told)
    for name, split in named.items():
        if split == "unlabeled":
            _leave_flat(kids[name], told)
    return _labeled(root, top, found, by_split, told)


def _refuse_sets(root: Path, folders: Sequence[Tree], classes: str, chosen: Sequence[str] = ()) -> None:
    """Raise BadFile if one of the folders is a data set of its own, whose splits would be taken for classes."""
    for kid in folders:
        if inner := _splits_inside(kid, chosen):
            folder = root / kid.place
            raise BadFile(
                folder,
                f"holds split folders ({_listed(inner)}) and lies beside other folders of images: is it a data set of "
                f"its own? Then name it: --data {folder}. If {classes}",
            )


def _together(top: Tree, named: dict[str, tuple[str, tuple[str, ...]]]) -> dict[str, str]:
    """The folders that are the splits of one set: named by the split alone, or with equal other words."""
    plain = {name: split for name, (split, rest) in named.items() if not rest}
    if plain:
        return plain
    kids = {kid.name: kid for kid in top.folders}
    for rest in dict.fromkeys(rest for _, rest in named.values()):
        alike = {name: split for name, (split, words) in named.items() if words == rest}
        trains = [name for name, split in alike.items() if split == "train"]
        # `train station` and `test station` are flat: classes. `seg_train` and `seg_test` hold the classes.
        if len(alike) > 1 and trains and kids[trains[0]].filled():
            return alike
    return {}


def _by_split(folder: Path, named: dict[str, str]) -> dict[str, str]:
    """The one folder of each split."""
    found: dict[str, str] = {}
    for name in sorted(named, key=lambda name: "eval" in name.lower()):
        split = named[name]
        if split == "test" and split in found and "eval" in name.lower() and "val" not in named.values():
            split = "val"
        if split in found:
            raise BadFile(folder, f"expected one folder for {split}, found {found[split]} and {name}")
        found[split] = name
    return {split: found[split] for split in SPLITS if split in found}


def _inner(tree: Tree, split: str, told: _Told) -> Tree:
    """The folder that holds a split's classes; it may lie in others: `seg_train/seg_train`, `train/images`."""
    kids = tree.filled()
    if len(kids) == 1 and kids[0].filled() and not tree.images:
        named = split_name(kids[0].name)
        general = kids[0].name.lower() in ("images", "image", "imgs", "data", "pictures", "photos")
        if kids[0].name == tree.name or general or (named is not None and named[0] == split):
            return _inner(kids[0], split, told)
    return tree


def _labeled(
    root: Path, top: Tree, found: dict[str, Tree], names: dict[str, str], told: _Told
) -> dict[str, dict[str, Tree]]:
    """The class folders of each split. A split without class folders is left out, with a note."""
    train = found.get("train")
    known = {kid.name for kid in train.filled()} if train else set[str]()
    if train is not None and not train.filled():
        raise BadFile(
            root / train.place,
            f"its {_lie(train)} in no class folder, so there are no labels; expected a folder for "
            "each class, or a table of images and labels beside it",
        )
    splits: dict[str, dict[str, Tree]] = {}
    for split, tree in found.items():
        kids = tree.filled()
        alone = (
            split != "train" and len(kids) == 1 and train is not None and kids[0].name not in known and len(known) > 1
        )
        if not kids or (alone and not kids[0].filled()):
            _leave_flat(tree, told)
            continue
        _leave_loose(tree, told)
        splits[split] = {kid.name: kid for kid in tree.folders}
    shown = [n if n.lower() == s else f"{n} ({s})" for s, n in names.items() if s in splits]
    told.words.append(f"split folder{'s' if len(shown) > 1 else ''} {', '.join(shown)}")
    return splits


def _leave_loose(tree: Tree, told: _Told) -> None:
    if tree.images:
        told.loose.append(tree)
        where = f"{tree.place}/" if tree.place else "the folder"
        told.notes.append(f"{_lie(tree)} in {where} itself, in no class folder: left out")


def _leave_flat(tree: Tree, told: _Told) -> None:
    none = many(tree.count, "image has no label and is left out", "images have no labels and are left out")
    told.loose.append(tree)
    told.notes.append(
        f"{tree.place}/ has no class folders: its {none}; `convsmith predict RUN {tree.place}` names them"
    )


def _above_splits(top: Tree, told: _Told, chosen: Sequence[str]) -> dict[str, dict[str, Tree]] | None:
    """The classes of each split if split folders lie in the class folders (`cat/train`, `cat/test`); else None."""
    kids = top.filled()
    splits: dict[str, dict[str, Tree]] = {}
    for kid in kids:
        named = {inner: split_name(inner.name) for inner in kid.filled()}
        if kid.images or not named or any(inner.filled() for inner in named):
            return None
        for inner, found in named.items():
            if found is None or found[1] or found[0] not in SPLITS or kid.name in splits.setdefault(found[0], {}):
                return None
            splits[found[0]][kid.name] = inner
    if chosen or len(kids) < 2 or len(splits) < 2 or "train" not in splits:
        return None
    told.words.append(f"class folders with split folders {', '.join(s for s in SPLITS if s in splits)} in each")
    return {split: splits[split] for split in SPLITS if split in splits}


def _classes(root: Path, top: Tree, told: _Told, chosen: Sequence[str]) -> dict[str, Tree]:
    kids = top.filled()
    deep = [kid for kid in kids if not kid.images]
    if not set(chosen) <= {kid.name for kid in kids} or not chosen:
        _ask_whether_splits(root, top, deep)
        _refuse_sets(root, deep, f"it is a class: --data.classes {','.join(kid.name for kid in kids)}")
    for kid in deep if len(deep) <= 6 else ():
        inner = [folder.name for folder in kid.filled()]
        shown = ", ".join(inner[:4]) + (f" and {len(inner) - 4} more" if len(inner) > 4 else "")
        told.notes.append(f"the class {kid.name} is made of its sub-folder{'s' if len(inner) > 1 else ''} {shown}")
    if len(deep) > 6:
        told.notes.append(
            f"{many(len(deep), 'class is made of its', 'classes are made of their')} sub-folders, as "
            f"{deep[0].name}/{deep[0].filled()[0].name}"
        )
    return {kid.name: kid for kid in top.folders}


def _ask_whether_splits(root: Path, top: Tree, deep: Sequence[Tree]) -> None:
    """Raise BadFile if folders without images of their own hold folders of the same names, as splits do."""
    seen: dict[str, list[str]] = {}
    for kid in deep:
        for inner in kid.filled():
            seen.setdefault(inner.name, []).append(kid.name)
    shared = [name for name, owners in seen.items() if len(owners) > 1]
    owners = sorted({kid for name in shared for kid in seen[name]})
    whole = [
        kid
        for kid in deep
        if kid.name in owners and 2 * sum(i.name in shared for i in kid.filled()) >= len(kid.filled())
    ]
    if len(shared) < 2 or len(whole) < 2:
        return
    names = [kid.name for kid in whole]
    listed, inside = _listed(names), _listed(shared)
    folder = root / top.place
    if all((named := split_name(name)) and not named[1] for name in shared):
        raise BadFile(
            folder,
            f"{listed} each hold split folders ({inside}), so they are data sets; name one: --data {folder / names[0]}",
        )
    raise BadFile(
        folder,
        f"{listed} hold folders of the same names ({inside}): are they splits? Then rename them train, val or test. If "
        f"they are the classes: --data.classes {','.join(kid.name for kid in top.filled())}",
    )


def _lie(tree: Tree) -> str:
    return many(len(tree.images), "image lies", "images lie")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
