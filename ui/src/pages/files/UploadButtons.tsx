import { FolderPlus, FolderUp, Upload } from "lucide-react";
import { type ChangeEvent, useRef } from "react";

import { ActionButton } from "../../components/ActionButton";
import { filesText as text } from "../../text/enFiles";
import { chosen } from "../../util/dropped";
import { join } from "../../util/files";

interface Props {
  folder: string;
  onNewFolder: () => void;
}

export function UploadButtons({ folder, onNewFolder }: Props) {
  const files = useRef<HTMLInputElement>(null);
  const folders = useRef<HTMLInputElement>(null);
  const take = (event: ChangeEvent<HTMLInputElement>) => {
    const input = event.currentTarget;
    const taken = chosen(input.files ?? []).map(({ file, path }) => ({ file, path: join(folder, path) }));
    input.value = ""; // the same file may be chosen again
    void import("../../api/uploads").then(({ uploads }) => uploads.add(taken, folder));
  };
  return (
    <>
      <input ref={files} type="file" multiple hidden onChange={take} data-upload="files" aria-label={text.upload.files} />
      <input ref={folders} type="file" multiple hidden onChange={take} data-upload="folder" aria-label={text.upload.folder} {...{ webkitdirectory: "" }} />
      <ActionButton variant="outlined" startIcon={<FolderPlus size={16} aria-hidden />} onClick={onNewFolder}>
        {text.folder.make}
      </ActionButton>
      <ActionButton variant="outlined" startIcon={<FolderUp size={16} aria-hidden />} onClick={() => folders.current?.click()}>
        {text.upload.folder}
      </ActionButton>
      <ActionButton variant="contained" startIcon={<Upload size={16} aria-hidden />} onClick={() => files.current?.click()}>
        {text.upload.files}
      </ActionButton>
    </>
  );
}
