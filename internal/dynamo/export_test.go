package dynamo

// CachedSets says how many tenants' endpoint sets are cached.
func (t *Table) CachedSets() int {
	t.sets.mu.Lock()
	defer t.sets.mu.Unlock()
	return len(t.sets.known)
}
