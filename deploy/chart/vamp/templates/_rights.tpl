{{- /* Made from the table of rights: VAMP_UPDATE=1 cargo test -p kubernetes rights */ -}}
{{- define "vamp.rights.environment" -}}
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
- {apiGroups: [""], resources: [services], verbs: [list, watch, create, patch, delete]}
- {apiGroups: ["vamp.io"], resources: [gateways], verbs: [get, list, watch, create, update, patch, delete]}
- {apiGroups: ["vamp.io"], resources: [gateways/status], verbs: [get, update, patch]}
- {apiGroups: ["vamp.io"], resources: [records], verbs: [get, list, create, update, delete]}
- {apiGroups: [""], resources: [events], verbs: [create, patch]}
- {apiGroups: [""], resources: [configmaps], verbs: [create]}
- {apiGroups: [""], resources: [configmaps], resourceNames: [vamp-ca], verbs: [get, update]}
{{- end }}
{{- define "vamp.rights.installation" -}}
- {apiGroups: ["coordination.k8s.io"], resources: [leases], verbs: [create]}
- {apiGroups: ["coordination.k8s.io"], resources: [leases], resourceNames: [vamp-controller], verbs: [get, watch, update]}
- {apiGroups: [""], resources: [pods], verbs: [list, patch]}
- {apiGroups: [""], resources: [secrets], verbs: [create]}
- {apiGroups: [""], resources: [secrets], resourceNames: [vamp-ca], verbs: [get, update]}
{{- end }}
{{- define "vamp.rights.discovery" -}}
- {apiGroups: [""], resources: [namespaces], verbs: [list, watch]}
{{- end }}
{{- define "vamp.rights.elsewhere" -}}
- {apiGroups: [""], resources: [pods], verbs: [list, watch]}
- {apiGroups: [""], resources: [services], verbs: [list, watch]}
{{- end }}
{{- define "vamp.people" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: vamp-viewer
  labels:
    app.kubernetes.io/part-of: vamp
    rbac.authorization.k8s.io/aggregate-to-view: "true"
rules:
  - apiGroups:
      - vamp.io
    resources:
      - gateways
      - gateways/status
    verbs:
      - get
      - list
      - watch
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: vamp-operator
  labels:
    app.kubernetes.io/part-of: vamp
    rbac.authorization.k8s.io/aggregate-to-edit: "true"
rules:
  - apiGroups:
      - vamp.io
    resources:
      - gateways
      - gateways/status
    verbs:
      - get
      - list
      - watch
  - apiGroups:
      - vamp.io
    resources:
      - gateways
    verbs:
      - create
      - update
      - patch
      - delete
      - deletecollection
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: vamp-admin
  labels:
    app.kubernetes.io/part-of: vamp
    rbac.authorization.k8s.io/aggregate-to-admin: "true"
rules:
  - apiGroups:
      - vamp.io
    resources:
      - gateways
      - gateways/status
    verbs:
      - get
      - list
      - watch
  - apiGroups:
      - vamp.io
    resources:
      - gateways
    verbs:
      - create
      - update
      - patch
      - delete
      - deletecollection
  - apiGroups:
      - vamp.io
    resources:
      - gateways
    verbs:
      - administer
  - apiGroups:
      - vamp.io
    resources:
      - gateways
    verbs:
      - get
      - list
      - watch
      - create
      - update
      - patch
      - delete
  - apiGroups:
      - vamp.io
    resources:
      - gateways/status
    verbs:
      - get
      - update
      - patch
  - apiGroups:
      - vamp.io
    resources:
      - records
    verbs:
      - get
      - list
      - create
      - update
      - delete
  - apiGroups:
      - ""
    resources:
      - events
    verbs:
      - create
      - patch
  - apiGroups:
      - coordination.k8s.io
    resources:
      - leases
    verbs:
      - create
  - apiGroups:
      - coordination.k8s.io
    resources:
      - leases
    verbs:
      - get
      - watch
      - update
    resourceNames:
      - vamp-controller
{{- end }}
