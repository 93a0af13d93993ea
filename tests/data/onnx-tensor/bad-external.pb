Bwj
locationxp