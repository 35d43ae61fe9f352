/** Which dialog asks what; each is fetched when it is needed. */
import { lazy } from "react";

import type { FileEntry } from "../../api/types";
import { isArchive } from "../../util/files";
import type { Place, Question } from "./offer";

const NameDialog = lazy(() => import("./NameDialog"));
const MoveDialog = lazy(() => import("./MoveDialog"));
const DeleteDialog = lazy(() => import("./DeleteDialog"));
const PackDialog = lazy(() => import("./PackDialog"));
const ArchiveDialog = lazy(() => import("./ArchiveDialog"));
const ExtractDialog = lazy(() => import("./ExtractDialog"));
const Preview = lazy(() => import("./Preview"));
const MediaDrawer = lazy(() => import("./MediaDrawer"));
const Contents = lazy(() => import("./Contents"));

interface Props {
  question: Question;
  place: Place;
  /** What the list shows. */
  entries: FileEntry[];
  onAsk: (question: Question) => void;
  onClose: () => void;
  /** After something has left its folder. */
  onGone: () => void;
}

/** What a preview of a file can go on to: the files around it that are shown in the same place. */
function shownAlike(entries: FileEntry[]): FileEntry[] {
  return entries.filter((entry) => entry.type === "file" && entry.reachable && !isArchive(entry));
}

export default function Questions({ question, place, entries, onAsk, onClose, onGone }: Props) {
  switch (question.about) {
    case "preview": {
      const { entry } = question;
      if (isArchive(entry)) return <Contents entry={entry} root={place.root} onClose={onClose} />;
      if (place.root === "nas") return <MediaDrawer entry={entry} root={place.root} onClose={onClose} />;
      return (
        <Preview
          entry={entry}
          files={shownAlike(entries)}
          onShow={(other) => onAsk({ about: "preview", entry: other })}
          onMedia={(film) => onAsk({ about: "media", entry: film })}
          onClose={onClose}
        />
      );
    }
    case "folder":
      return <NameDialog folder={place.path} onClose={onClose} />;
    case "rename":
      return <NameDialog entry={question.entry} folder={place.path} onClose={onClose} />;
    case "move":
      return <MoveDialog entries={question.entries} onClose={onClose} onMoved={onGone} />;
    case "delete":
      return <DeleteDialog entries={question.entries} onClose={onClose} onDeleted={onGone} />;
    case "pack":
      return <PackDialog entry={question.entry} root={place.root} onClose={onClose} />;
    case "archive":
      return <ArchiveDialog entries={question.entries} place={place} onClose={onClose} />;
    case "extract":
      return <ExtractDialog entry={question.entry} root={place.root} onClose={onClose} />;
    case "contents":
      return <Contents entry={question.entry} root={place.root} onClose={onClose} />;
    case "media":
      return <MediaDrawer entry={question.entry} root={place.root} onClose={onClose} />;
  }
}
