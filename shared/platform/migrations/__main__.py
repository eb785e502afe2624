from shared.platform.migrations import upgrade

upgrade()
