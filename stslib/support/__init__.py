"""Small tools that every floor uses: errors, atomic files, progress, and work in parallel."""
