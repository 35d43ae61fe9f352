"""Make, list, test and extract archives of every format. A limited child process reads foreign archives. Imports `files`."""
