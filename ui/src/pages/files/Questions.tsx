/** Which dialog asks what; each is fetched when it is needed. */
import { lazy } from "react";

import type { Place, Question } from "./offer";

const NameDialog = lazy(() => import("./NameDialog"));
const MoveDialog = lazy(() => import("./MoveDialog"));
const DeleteDialog = lazy(() => import("./DeleteDialog"));
const PackDialog = lazy(() => import("./PackDialog"));
const ArchiveDialog = lazy(() => import("./ArchiveDialog"));
const ExtractDialog = lazy(() => import("./ExtractDialog"));
const MediaDrawer = lazy(() => import("./MediaDrawer"));
const Contents = lazy(() => import("./Contents"));

interface Props {
  question: Question;
  place: Place;
  onClose: () => void;
  /** After something has left its folder. */
  onGone: () => void;
}

export default function Questions({ question, place, onClose, onGone }: Props) {
  switch (question.about) {
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
