

xPlaceholder"