/** Names for the forms of the API that the screens use. */

import type { components } from './schema'

type Schemas = components['schemas']

export type Gateway = Schemas['Gateway']
export type Route = Schemas['Route']
export type Event = Schemas['Event']
export type Problem = Schemas['ErrorProblem']
export type Caller = Schemas['Caller']
export type Live = Schemas['Live']
export type Overall = Schemas['Overall']
export type GatewaySummary = Schemas['GatewaySummary']
export type RouteSummary = Schemas['RouteSummary']
export type Figures = Schemas['Figures']
export type GatewayFigures = Schemas['GatewayFigures']
export type RouteFigures = Schemas['RouteFigures']
export type InstanceFigures = Schemas['InstanceFigures']
export type GatewayOverview = Schemas['GatewayOverview']
export type GatewayLine = Schemas['GatewayLine']
export type History = Schemas['History']
export type RouteTest = Schemas['RouteTest']
export type ConditionTest = Schemas['ConditionTest']

/** What the caller may do; each includes those before it. */
export type Role = 'viewer' | 'operator' | 'admin'
